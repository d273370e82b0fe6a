# V8, d = 64, by the recipe, on 256 tiles of any data set of LEVIR layout (data_root), from random weights.
_base_ = [
    '../_base_/models/cdmamba_v8.py', '../_base_/datasets/tiles_crop128.py', '../_base_/losses/bce_dice.py',
    '../_base_/schedules/adamw_ema.py', '../_base_/default_runtime.py'
]

model = dict(decode_head=dict(loss_decode=_base_.recipe_losses))
optim_wrapper = dict(optimizer=dict(lr=1e-3))  # the diary's best runs had 8e-4
