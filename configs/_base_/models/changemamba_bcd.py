# ChangeMamba's MambaBCD-Tiny (arXiv 2404.03425), the whole model; Small and Base change the encoder.
_base_ = './pair_input.py'

norm_cfg = dict(type='BN')
act_cfg = dict(type='ReLU')
channels = [96, 192, 384, 768]  # of the encoder's levels, d * 2^i

model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='SiameseVSSM', arch='changemamba_t', drop_path_rate=0.2, scan_backend='auto'),
    # Passes A and B on as they are: the fusion is in the decoder.
    neck=dict(type='BitemporalFusionNeck', in_channels=channels, difference=None, norm_cfg=norm_cfg, act_cfg=act_cfg),
    decode_head=dict(
        type='ChangeMambaHead',
        in_channels=channels,
        channels=128,
        vss=dict(ssm_ratio=2.0, drop_path=0.1),
        dropout_ratio=0.,
        # The difference of two rows that start as a convolution of torch's does, U(-1 / sqrt(128), 1 / sqrt(128)): a
        # std of sqrt(2 / 3 / 128).
        init_cfg=dict(type='Normal', std=0.072, override=dict(name='conv_seg')),
        threshold=0.5,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
        # Cross entropy of two logits is binary cross entropy of their difference.
        loss_decode=dict(
            bce=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_name='loss_bce'),
            lovasz=dict(type='LovaszSoftmaxLoss', loss_weight=0.75))),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
