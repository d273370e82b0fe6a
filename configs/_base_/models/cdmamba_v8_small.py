# V8 with half the width and half the depth, for work on a CPU.
_base_ = './cdmamba_v8.py'
channels = [32, 64, 128, 256]

model = dict(
    backbone=dict(arch='small', drop_path_rate=0.1),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels))
