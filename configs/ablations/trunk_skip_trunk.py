# The trunk alone with the skip strategy `trunk`: the trunk takes only the level above, as in V3 to V7.
_base_ = './trunk.py'

model = dict(
    neck=dict(reduction=_base_.bottleneck),
    decode_head=dict(skip=dict(_delete_=True, type='TrunkSkip')))
find_unused_parameters = True  # for several GPUs: AB is read at the deepest level only
