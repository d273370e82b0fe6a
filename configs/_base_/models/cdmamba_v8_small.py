# V8 at d = 24 and half the depth, for work on a CPU: 3.5 M parameters.
_base_ = './cdmamba_v8.py'
channels = [24, 48, 96, 192]

model = dict(
    backbone=dict(arch='small', drop_path_rate=0.05),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels, final=dict(widths=(24, 16))))
