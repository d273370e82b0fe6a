# V6.1 as a change of V8's model; a config joins it to any size of it by `model = _base_.version`.
reduction = dict(type='BottleneckReduction')
version = dict(
    neck=dict(reduction=reduction),
    decode_head=dict(
        skip=dict(_delete_=True, type='TrunkSkip'),
        edge=dict(_delete_=True, type='LaplacianEdge', reduction=reduction),
        image_edge=dict(type='SiameseImageEdge')))
