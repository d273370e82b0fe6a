# V4: both images squeezed into one edge map at once, and an output with a loss at every level.
_base_ = './v5.py'

version = dict(
    decode_head=dict(
        image_edge=dict(_delete_=True, type='StackedImageEdge', gaussian_bias=True),
        level_output=dict(type='LevelOutput'),
        # V8's start and loss: with an output at every level they suit LN too.
        init_cfg=dict(bias_prob=0.05),
        loss_decode=dict(lovasz=dict(loss_weight=1.0))))
