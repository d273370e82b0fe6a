# V8 with the skip strategy `vss_then_fuse`: the block first, then the fusion with A and B.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='VSSThenFuse', reduction=_base_.bottleneck)))
