# V7: an output and a loss at every decoder level, five stacked SWBCE.
_base_ = './v6_1.py'

version = dict(
    decode_head=dict(
        # 32 channels at full size, as AERNet's own output layer has: the diary's 'parameters hardly change, FLOPs grow
        # a lot' (+0.2 % and +24 %). It is half of d.
        level_output=dict(type='LevelOutput', width=32),
        loss_decode=dict(_delete_=True, swbce=dict(type='SWBCELoss', min_weight=0.1, loss_weight=1.0))))
