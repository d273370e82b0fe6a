# V7: an output and a loss at every decoder level, five stacked SWBCE.
_base_ = './v6_1.py'

version = dict(
    decode_head=dict(
        level_output=dict(type='LevelOutput'),
        loss_decode=dict(_delete_=True, swbce=dict(type='SWBCELoss', min_weight=0.1, loss_weight=1.0))))
