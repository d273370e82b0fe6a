# The small V8 from the packaged starter, on 256 tiles of LEVIR layout; from other weights by
# `--cfg-options load_from=FILE`.
_base_ = './cdmamba_v8_small_tiles.py'

load_from = 'cdmamba_v8_small'
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(small_crops=None)  # trained weights have left the plateau behind
