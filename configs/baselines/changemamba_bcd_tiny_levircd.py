# ChangeMamba's MambaBCD-Tiny with its loss, augmentation and training, on LEVIR-CD cut to 256 tiles. It starts from
# VMamba's ImageNet weights, once: python tools/model_converters/vmamba.py OFFICIAL.pth pretrained/changemamba_t.pth,
# with VMamba-Tiny of ChangeMamba's README. From scratch: --cfg-options model.backbone.init_cfg=None
_base_ = [
    '../_base_/models/changemamba_bcd.py', '../_base_/datasets/levircd_256_changemamba.py',
    '../_base_/schedules/changemamba.py', '../_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MAMBA_CD_CHANGEMAMBA_T:pretrained/changemamba_t.pth}}')))
