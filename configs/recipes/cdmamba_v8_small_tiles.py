# The small V8 by the recipe, on 256 tiles of any data set of LEVIR layout (data_root), from random weights.
_base_ = [
    '../_base_/models/cdmamba_v8_small.py', '../_base_/datasets/tiles_crop128.py', '../_base_/losses/bce_dice.py',
    '../_base_/schedules/adamw_ema.py', '../_base_/default_runtime.py'
]

model = dict(decode_head=dict(loss_decode=_base_.recipe_losses))
# Small crops first: without them one seed in two stays on a plateau for most of a short training.
train_cfg = dict(small_crops=dict(share=0.4, divisor=2))
# On a GPU its trials take up to a minute for each size, and there are three: small crops, crops, whole tiles.
env_cfg = dict(cudnn_benchmark=False)
