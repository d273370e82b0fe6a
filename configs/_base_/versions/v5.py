# V5: LN, the depthwise difference block, and Gaussians with a bias.
_base_ = './v6_1.py'

ln = dict(type='mmseg.LN2d')
version = dict(
    neck=dict(norm_cfg=ln, difference=dict(type='DepthwiseDifferenceBlock')),
    decode_head=dict(norm_cfg=ln, edge=dict(gaussian_bias=True), image_edge=dict(gaussian_bias=True)))
