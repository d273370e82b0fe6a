# AERNet at d = 24, about what the small V8 costs, trained like it from random weights.
_base_ = ['../_base_/models/aernet.py', '../_base_/small_levircd.py']
channels = [24, 24, 48, 96, 192]

model = dict(
    backbone=dict(base_channels=24), neck=dict(in_channels=channels), decode_head=dict(in_channels=channels))
