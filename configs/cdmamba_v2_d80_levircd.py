# CDMamba V2 at d = 80; still too slow.
_base_ = './cdmamba_v1_levircd.py'

channels = [80, 160, 320, 640]
model = dict(
    backbone=dict(embed_dims=80),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels))
