# The small V5 on generated scenes: all as in the small V8, but for the version.
_base_ = ['../cdmamba_v8_small_synthetic.py', '../_base_/versions/v5.py']

model = _base_.version
