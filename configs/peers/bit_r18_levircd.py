# BIT (TGRS 2021): a ResNet-18 and a transformer on a few tokens of each date.
_base_ = '../_base_/peer.py'

model = dict(
    detector='opencd.SiamEncoderDecoder',
    backbone=dict(
        type='ResNetV1c', depth=18, num_stages=3, strides=(1, 2, 1), dilations=(1, 1, 1), out_indices=(2, ),
        contract_dilation=True, norm_cfg=_base_.norm_cfg),
    neck=dict(type='opencd.FeatureFusionNeck', policy='concat', out_indices=(0, )),
    decode_head=dict(
        type='opencd.BITHead', in_channels=256, channels=32, embed_dims=64, enc_depth=1, dec_depth=8, num_heads=8,
        token_len=4, upsample_size=4, norm_cfg=dict(type='LN')))
