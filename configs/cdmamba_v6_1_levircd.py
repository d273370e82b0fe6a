# CDMamba V6.1, the best V6 ('6.1 BEST', run 103255): the trunk takes the level above alone, AB enters a Laplacian edge
# branch; gate tanh.
_base_ = './cdmamba_v8_levircd.py'

bottleneck = _base_.bottleneck
model = dict(
    neck=dict(reduction=bottleneck),
    decode_head=dict(
        skip=dict(_delete_=True, type='TrunkSkip'),
        edge=dict(_delete_=True, type='LaplacianEdge', reduction=bottleneck),
        image_edge=dict(type='SiameseImageEdge')))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-4))
