# The small V8 from the packaged starter, on whole tiles of LEVIR layout; from other weights by
# `--cfg-options load_from=FILE`.
_base_ = './cdmamba_v8_small_tiles.py'

max_epochs = 25
load_from = 'cdmamba_v8_small'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
# As many pixels as 16 crops of 128. An epoch has four times the steps, so that there are a quarter of the epochs. The
# starter has seen whole scenes last: ten pairs took it from 57.2 to 58.8 this way, and to 44.5 on crops
# (docs/accuracy.md).
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=_base_.whole_tiles))
auto_scale_lr = dict(base_batch_size=4)
train_cfg = dict(max_epochs=max_epochs, small_crops=None)  # trained weights have left the plateau behind
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=max_epochs)]
