# CDMamba V5: before V6 turned every norm outside the state-space model into BN, the difference block into a full
# convolution, and dropped the bias of the Gaussians.
_base_ = './cdmamba_v6_1_levircd.py'

norm_cfg = dict(type='mmseg.LN2d')
model = dict(
    neck=dict(norm_cfg=norm_cfg, difference=dict(type='DepthwiseDifferenceBlock')),
    decode_head=dict(norm_cfg=norm_cfg, edge=dict(gaussian_bias=True), image_edge=dict(gaussian_bias=True)))
