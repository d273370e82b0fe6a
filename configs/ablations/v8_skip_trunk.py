# V8 with the skip strategy `trunk`: the trunk takes only the level above, as in V3 to V7.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(
    neck=dict(reduction=_base_.bottleneck),
    decode_head=dict(skip=dict(_delete_=True, type='TrunkSkip')))
