# CDMamba V1: a UNet-like decoder of VSS blocks, and one AFF chain over the four differences.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/versions/v1.py', './_base_/datasets/levircd_256.py',
    './_base_/schedules/adam_200e.py', './_base_/default_runtime.py'
]

model = _base_.version
