# ChangeFormer as Open-CD has it (IGARSS 2022): a siamese MiT-B0, the dates concatenated, an MLP head.
_base_ = '../_base_/peer.py'

widths = (32, 64, 160, 256)
model = dict(
    detector='opencd.SiamEncoderDecoder',
    backbone=dict(
        type='MixVisionTransformer', embed_dims=32, num_layers=[2, 2, 2, 2], num_heads=[1, 2, 5, 8],
        sr_ratios=[8, 4, 2, 1], mlp_ratio=4, qkv_bias=True, drop_path_rate=0.1),
    neck=dict(type='opencd.FeatureFusionNeck', policy='concat'),
    decode_head=dict(
        type='SegformerHead', in_channels=[2 * width for width in widths], in_index=[0, 1, 2, 3], channels=256,
        dropout_ratio=0.1, norm_cfg=_base_.norm_cfg))
