# ConMamba (TGRS 2024) as we read it. Public are title and abstract, and no code: a siamese encoder that joins a CNN and
# a state-space model at every level. What they leave open is chosen here as in CDMamba, so that the comparison shows
# the two ideas named below: the hybrid encoder, and a decoder without skips.
_base_ = './pair_input.py'

norm_cfg = dict(type='BN')
act_cfg = dict(type='SiLU')
channels = [64, 128, 256, 512]  # of the encoder's levels, d * 2^i

model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    # Depths (ours): even, since a hybrid block has three times the weights of a state-space block.
    backbone=dict(
        type='SiameseHybrid', arch=dict(embed_dims=64, depths=(2, 2, 2, 2), ssm_ratio=1.0), norm_cfg=norm_cfg,
        drop_path_rate=0.2, scan_backend='auto'),
    # Passes A and B on as they are.
    neck=dict(
        type='BitemporalFusionNeck', in_channels=channels, difference=None, norm_cfg=norm_cfg, act_cfg=act_cfg),
    decode_head=dict(
        type='EdgeGuidedHead',
        in_channels=channels,
        # The diary: ConMamba不带跳接 ("ConMamba has no skip connections"). A and B meet at stride 32 and nowhere else.
        skip=dict(type='NoSkip'),
        block=dict(type='VSSStack', depth=2),  # ours
        edge=None,
        fusion=None,
        final=dict(type='FinalUpsampler', widths=(32, 16)),  # ours
        dropout_ratio=0.,
        init_cfg=dict(type='Normal', std=0.2, bias_prob=0.05, override=dict(name='conv_seg')),  # as in CDMamba V8
        threshold=0.5,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
        # Ours: ChangeMamba's.
        loss_decode=dict(
            bce=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_name='loss_bce'),
            lovasz=dict(type='LovaszSoftmaxLoss', loss_weight=0.75))),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
