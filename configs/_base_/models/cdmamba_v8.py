# The whole model: CDMamba V8, d = 64. Every other version is a leaf that switches parts off or swaps them.
_base_ = './pair_input.py'

norm_cfg = dict(type='BN')
act_cfg = dict(type='SiLU')
channels = [64, 128, 256, 512]  # of the encoder's levels, d * 2^i
bottleneck = dict(type='BottleneckReduction')  # 先降四倍再提两倍: "first down by four, then up by two"

model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='SiameseVSSM', arch='cdmamba', drop_path_rate=0.2, scan_backend='auto'),
    neck=dict(
        type='BitemporalFusionNeck',
        in_channels=channels,
        difference=dict(type='FullDifferenceBlock'),
        norm_cfg=norm_cfg,
        act_cfg=act_cfg),
    decode_head=dict(
        type='EdgeGuidedHead',
        in_channels=channels,
        skip=dict(type='FuseThenVSS', reduction=bottleneck, kernel_size=3),
        block=dict(type='LSSM', kernel_sizes=(5, 7)),
        edge=dict(type='DoGEdge', reduction=bottleneck, kernel_size=7, sigma=0.8, ratio=1.6, learnable=True),
        fusion=dict(type='AttentionalFeatureFusion', gate='tanh', ratio=4),
        final=dict(type='FinalUpsampler', widths=(32, 16)),
        dropout_ratio=0.,
        # The output starts as 'changed with probability 0.05', about its share, and large enough to move: from mmseg's
        # std of 0.01 the logits of 80 steps at lr 1e-3 were still near 0.
        init_cfg=dict(type='Normal', std=0.2, bias_prob=0.05, override=dict(name='conv_seg')),
        threshold=0.5,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
        loss_decode=dict(
            focal=dict(type='BinaryFocalLoss', alpha=0.75, gamma=2.0, loss_weight=10.0),
            lovasz=dict(type='LovaszLoss', loss_type='binary', reduction='none', loss_weight=1.0))),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
