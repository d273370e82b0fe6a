# The small V8 from generated scenes alone, to start other trainings from: 16,000 steps of 16, each scene new.
# On a GPU with 16 cores; on two cores the scenes alone take two hours.
_base_ = [
    './_base_/models/cdmamba_v8_small.py', './_base_/datasets/synthetic_on_the_fly.py',
    './_base_/schedules/adamw_ema.py', './_base_/default_runtime.py'
]

max_epochs = 32
train_dataloader = dict(batch_size=16, num_workers=14, dataset=dict(length=8000))
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=max_epochs)]
