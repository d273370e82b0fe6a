# The small V8 by the recipe, on 256 tiles of any data set of LEVIR layout (data_root), from random weights.
_base_ = [
    '../_base_/models/cdmamba_v8_small.py', '../_base_/datasets/tiles_crop128.py', '../_base_/losses/bce_dice.py',
    '../_base_/schedules/adamw_ema.py', '../_base_/default_runtime.py'
]

model = dict(decode_head=dict(loss_decode=_base_.recipe_losses))
