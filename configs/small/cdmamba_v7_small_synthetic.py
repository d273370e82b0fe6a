# The small V7 on generated scenes: all as in the small V8, but for the version.
_base_ = ['../cdmamba_v8_small_synthetic.py', '../_base_/versions/v7_small.py']

model = _base_.version
