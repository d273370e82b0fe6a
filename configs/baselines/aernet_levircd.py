# AERNet (ResNet-34) with its loss, on LEVIR-CD cut to 256 tiles. Its public code has no training script, so data and
# schedule are those of CDMamba. It starts from torchvision's ImageNet weights, as it is: resnet34-333f7ec4.pth. From
# scratch: --cfg-options model.backbone.init_cfg=None
_base_ = [
    '../_base_/models/aernet.py', '../_base_/datasets/levircd_256.py', '../_base_/schedules/plateau_200e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='{{$MAMBA_CD_RESNET34:pretrained/resnet34.pth}}')))
