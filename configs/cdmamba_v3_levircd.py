# CDMamba V3, whose predictions collapsed to 0: V4 before its loss was repaired.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/versions/v3.py', './_base_/datasets/levircd_256.py',
    './_base_/schedules/adam_200e.py', './_base_/default_runtime.py'
]

model = _base_.version
