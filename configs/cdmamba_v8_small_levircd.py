# The small V8 on any folder of LEVIR layout (crops of 256 from images of any size), for a CPU.
_base_ = [
    './_base_/models/cdmamba_v8_small.py', './_base_/datasets/levircd_crop256.py', './_base_/schedules/cosine_short.py',
    './_base_/default_runtime.py'
]

train_dataloader = dict(batch_size=8)
