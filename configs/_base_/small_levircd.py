# Data and training of the small models on any folder of LEVIR layout (crops of 256 from images of any size), for a CPU.
_base_ = ['./datasets/levircd_crop256.py', './schedules/cosine_short.py', './default_runtime.py']

max_epochs = 90  # of 240 pairs in batches of 8: 2,700 steps, about 40 minutes of the small V8 on two cores
train_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=max_epochs)]
