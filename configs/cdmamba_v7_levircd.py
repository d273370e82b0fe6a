# CDMamba V7: V6.1 with an output and a loss at every decoder level, five stacked SWBCE.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/versions/v7.py', './_base_/datasets/levircd_256.py',
    './_base_/schedules/adam_200e.py', './_base_/default_runtime.py'
]

model = _base_.version
