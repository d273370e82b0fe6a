# The small V8 from generated scenes alone, to start other trainings from: the packaged weights cdmamba_v8_small.
_base_ = [
    './_base_/models/cdmamba_v8_small.py', './_base_/datasets/scenes_crop128.py', './_base_/losses/bce_dice.py',
    './_base_/schedules/adamw_ema.py', './_base_/default_runtime.py'
]

model = dict(decode_head=dict(loss_decode=_base_.recipe_losses))
