# CDMamba V2: V1 at d = 96; the diary found it too slow to train.
_base_ = './cdmamba_v1_levircd.py'

channels = [96, 192, 384, 768]
model = dict(
    backbone=dict(embed_dims=96),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels))
