# The trunk alone with the skip strategy `vss_then_fuse`: the block first, then the fusion with A and B.
_base_ = './trunk.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='VSSThenFuse', reduction=_base_.bottleneck)))
