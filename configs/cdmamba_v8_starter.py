# V8 at d = 64 from generated scenes alone, each drawn once, on a GPU with 16 cores: 10,000 steps of 16.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/datasets/synthetic_on_the_fly.py', './_base_/losses/bce_dice.py',
    './_base_/schedules/adamw_ema.py', './_base_/default_runtime.py'
]

max_epochs = 20
model = dict(decode_head=dict(loss_decode=_base_.recipe_losses))
train_dataloader = dict(batch_size=16, num_workers=14, dataset=dict(length=8000))
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=max_epochs)]
