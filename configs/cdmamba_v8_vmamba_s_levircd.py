# V8 on VMamba-S (s2l15, d 96) with its ImageNet weights. Once: python tools/model_converters/vmamba.py OFFICIAL.pth
# pretrained/vmamba_s_s2l15.pth, with vssm_small_0229_ckpt_epoch_222.pth of VMamba's README.
_base_ = './cdmamba_v8_levircd.py'
channels = [96, 192, 384, 768]

model = dict(
    backbone=dict(
        arch='vmamba_s_s2l15',
        drop_path_rate=0.3,  # VMamba-S's own
        init_cfg=dict(type='Pretrained', checkpoint='{{$MAMBA_CD_VMAMBA_S:pretrained/vmamba_s_s2l15.pth}}')),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels))
