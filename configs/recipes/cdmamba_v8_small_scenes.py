# The small V8 by the recipe, on generated scenes alone.
_base_ = [
    '../_base_/models/cdmamba_v8_small.py', '../_base_/datasets/synthetic.py',
    '../_base_/schedules/adamw_ema.py', '../_base_/default_runtime.py'
]

train_dataloader = dict(batch_size=16)
