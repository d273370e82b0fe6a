# V8, d = 64, by the recipe, on 256 tiles of any data set of LEVIR layout (data_root), from random weights, on a GPU.
_base_ = [
    '../_base_/models/cdmamba_v8.py', '../_base_/datasets/tiles_crop128.py', '../_base_/losses/bce_dice.py',
    '../_base_/schedules/adamw_ema.py', '../_base_/default_runtime.py'
]

model = dict(decode_head=dict(loss_decode=_base_.recipe_losses))
# 128 crops of 128 px in a batch for most of the time, then 32 whole tiles: 8 GB in bf16. 1,140 such steps reached 83.5
# where 1,600 steps of at most 32 crops of 128 reached 76.0 (docs/accuracy.md).
train_dataloader = dict(batch_size=32, num_workers=6, dataset=dict(pipeline=_base_.whole_tiles))
train_cfg = dict(small_crops=dict(share=0.6, divisor=2))
optim_wrapper = dict(optimizer=dict(lr=1.5e-3, weight_decay=0.02))
auto_scale_lr = dict(base_batch_size=32)
# On a GPU its trials take up to a minute for each size, and there are two, crops and whole tiles.
env_cfg = dict(cudnn_benchmark=False)
