# The trunk alone with LN instead of BN (diary: BN和LN对比, "compare BN and LN").
_base_ = './trunk.py'

norm_cfg = dict(type='mmseg.LN2d')
model = dict(neck=dict(norm_cfg=norm_cfg), decode_head=dict(norm_cfg=norm_cfg))
