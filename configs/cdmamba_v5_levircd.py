# CDMamba V5: one output; LN, a depthwise difference block and a bias in the Gaussians, all of which V6 changed.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/versions/v5.py', './_base_/datasets/levircd_256.py',
    './_base_/schedules/adam_200e.py', './_base_/default_runtime.py'
]

model = _base_.version
