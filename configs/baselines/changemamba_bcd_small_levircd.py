# ChangeMamba's MambaBCD-Small: MambaBCD-Tiny with a larger encoder, whose ImageNet weights are those of VMamba-Small.
_base_ = './changemamba_bcd_tiny_levircd.py'

model = dict(
    backbone=dict(
        arch='vmamba_s_s2l15',
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint='{{$MAMBA_CD_VMAMBA_S:pretrained/vmamba_s_s2l15.pth}}')))
