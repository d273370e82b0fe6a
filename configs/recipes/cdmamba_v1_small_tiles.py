# The small V1 by the recipe: all as in the small V8, but for the version.
_base_ = ['./cdmamba_v8_small_tiles.py', '../_base_/versions/v1.py']

model = _base_.version
custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'LossRampHook']  # it has no Lovasz
