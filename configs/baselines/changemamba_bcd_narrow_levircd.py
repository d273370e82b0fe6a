# ChangeMamba's MambaBCD at d = 32, about what the small V8 costs, trained like it from random weights.
_base_ = ['../_base_/models/changemamba_bcd.py', '../_base_/small_levircd.py']
channels = [32, 64, 128, 256]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=32, depths=(1, 1, 2, 1), ssm_ratio=2.0), drop_path_rate=0.05),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels, channels=32))
