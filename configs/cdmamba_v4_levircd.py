# CDMamba V4: one edge map from both images at once, and an output with a loss at every level.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/versions/v4.py', './_base_/datasets/levircd_256.py',
    './_base_/schedules/adam_200e.py', './_base_/default_runtime.py'
]

model = _base_.version
