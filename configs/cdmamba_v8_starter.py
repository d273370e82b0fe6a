# V8 at d = 64 from generated scenes alone: as the small starter, with half the learning rate for four times the width.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/datasets/synthetic_on_the_fly.py',
    './_base_/schedules/cosine_short.py', './_base_/default_runtime.py'
]

max_epochs = 20
train_dataloader = dict(batch_size=16, num_workers=14, dataset=dict(length=8000))
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(_base_.param_scheduler[0], end=300),
    dict(_base_.param_scheduler[1], T_max=max_epochs),
]
