# LightCDNet, small (GRSL 2023): early fusion of the dates, a shuffle network, deep supervision.
_base_ = '../_base_/peer.py'

model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.LightCDNet', stage_repeat_num=[4, 8, 4], net_type='small'),
    neck=dict(
        type='opencd.TinyFPN', exist_early_x=True, early_x_for_fpn=True, custom_block='conv',
        in_channels=[24, 48, 96, 192], out_channels=48, num_outs=4),
    decode_head=dict(
        type='opencd.DS_FPNHead', in_channels=[48] * 4, in_index=[0, 1, 2, 3], channels=48, dropout_ratio=0.,
        norm_cfg=_base_.norm_cfg),
    auxiliary_head=dict(
        type='FCNHead', in_channels=24, in_index=0, channels=24, num_convs=1, concat_input=False, dropout_ratio=0.,
        norm_cfg=_base_.norm_cfg, num_classes=2, out_channels=1, threshold=0.5,
        loss_decode=dict(_base_.model.decode_head.loss_decode, loss_weight=0.4)))

find_unused_parameters = True  # for several GPUs: it builds layers that it never calls
