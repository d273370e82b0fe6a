# V8 on VMamba-T (s1l8, d 96) with its ImageNet weights. Once: python tools/model_converters/vmamba.py OFFICIAL.pth
# pretrained/vmamba_t_s1l8.pth, with vssm1_tiny_0230s_ckpt_epoch_264.pth of VMamba's README.
_base_ = './cdmamba_v8_levircd.py'
channels = [96, 192, 384, 768]

model = dict(
    backbone=dict(
        arch='vmamba_t_s1l8',
        init_cfg=dict(type='Pretrained', checkpoint='{{$MAMBA_CD_VMAMBA_T:pretrained/vmamba_t_s1l8.pth}}')),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels))
