# CDMamba V5: before V6 turned every norm outside the state-space model into BN, the difference block into a full
# convolution, and dropped the bias of the Gaussians.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/versions/v5.py', './_base_/datasets/levircd_256.py',
    './_base_/schedules/adam_200e.py', './_base_/default_runtime.py'
]

model = _base_.version
