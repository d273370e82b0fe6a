# The small V7 on any folder of LEVIR layout: all as in the small V8, but for the version.
_base_ = ['../cdmamba_v8_small_levircd.py', '../_base_/versions/v7_small.py']

model = _base_.version
