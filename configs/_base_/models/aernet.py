# AERNet (TGRS 2023), the whole model.
_base_ = './pair_input.py'

norm_cfg = dict(type='BN')
channels = [64, 64, 128, 256, 512]  # of the encoder's levels: the stem at stride 2, then the stages

model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='SiameseResNet', depth=34, base_channels=64),
    # Passes A and B on as they are: the fusion is in the decoder.
    neck=dict(
        type='BitemporalFusionNeck', in_channels=channels, difference=None, norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU')),
    decode_head=dict(
        type='AERNetHead',
        in_channels=channels,
        pool=8,
        dropout_ratio=0.,
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_in'),  # as the authors' decoder starts
        threshold=0.5,
        norm_cfg=norm_cfg,
        # Five times: the refined output and four levels. 0 instead of 0.1 is the published loss, which gives unchanged
        # pixels no gradient before the first change is found.
        loss_decode=dict(swbce=dict(type='SWBCELoss', min_weight=0.1)),
        # Not in the public code, which never teaches its edge branch.
        loss_edge=dict(type='SWBCELoss', min_weight=0.1)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
