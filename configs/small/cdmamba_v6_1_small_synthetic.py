# The small V6.1 on generated scenes: all as in the small V8, but for the version.
_base_ = ['../cdmamba_v8_small_synthetic.py', '../_base_/versions/v6_1.py']

model = _base_.version
