# ConMamba as we read it at d = 24, about what the small V8 costs, trained like it from random weights.
_base_ = ['../_base_/models/conmamba.py', '../_base_/small_levircd.py']
channels = [24, 48, 96, 192]

model = dict(
    backbone=dict(arch=dict(embed_dims=24, depths=(1, 1, 2, 1)), drop_path_rate=0.05),
    neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels, final=dict(widths=(24, 16))))
find_unused_parameters = True  # for several GPUs: A and B above stride 32 are not read at all
