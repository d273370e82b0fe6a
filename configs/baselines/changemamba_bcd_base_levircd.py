# ChangeMamba's MambaBCD-Base: MambaBCD-Tiny with a larger encoder, whose ImageNet weights are those of VMamba-Base.
_base_ = './changemamba_bcd_tiny_levircd.py'
channels = [128, 256, 512, 1024]

model = dict(
    backbone=dict(
        arch='vmamba_b_s2l15',
        drop_path_rate=0.6,
        init_cfg=dict(checkpoint='{{$MAMBA_CD_VMAMBA_B:pretrained/vmamba_b_s2l15.pth}}')),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels))
