# The small V5 by the recipe: all as in the small V8, but for the version.
_base_ = ['./cdmamba_v8_small_tiles.py', '../_base_/versions/v5.py']

model = dict(_base_.version, decode_head=dict(_base_.version.decode_head, loss_decode=_base_.recipe_losses))
