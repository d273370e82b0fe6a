# V8, d = 64, by the recipe, on generated scenes in files (data_root), on a GPU: what cdmamba_v8_tiles starts from.
_base_ = [
    '../_base_/models/cdmamba_v8.py', '../_base_/datasets/scenes_crop128.py', '../_base_/losses/bce_dice.py',
    '../_base_/schedules/adamw_ema.py', '../_base_/default_runtime.py'
]

model = dict(decode_head=dict(loss_decode=_base_.recipe_losses))
# As the crops of cdmamba_v8_tiles. 300 such steps on 5,500 scenes and 1,710 of those reached 85.0 (docs/accuracy.md).
train_dataloader = dict(batch_size=128, num_workers=6)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3, weight_decay=0.02))
auto_scale_lr = dict(base_batch_size=128)
# On a GPU its trials take up to a minute for each size.
env_cfg = dict(cudnn_benchmark=False)
