# Changer (TGRS 2023) with a ResNet-18: the dates exchange features, their difference is aligned by flow.
_base_ = '../_base_/peer.py'

exchange = dict(type='opencd.ChannelExchange', p=1 / 2)
model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(
        type='opencd.IA_ResNetV1c', depth=18, contract_dilation=True, norm_cfg=_base_.norm_cfg,
        interaction_cfg=(
            dict(type='opencd.TwoIdentity'), dict(type='opencd.SpatialExchange', p=1 / 2), exchange, exchange)),
    decode_head=dict(
        type='opencd.Changer', in_channels=[64, 128, 256, 512], in_index=[0, 1, 2, 3], channels=128,
        dropout_ratio=0.1, norm_cfg=_base_.norm_cfg))
