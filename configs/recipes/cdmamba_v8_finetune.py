# V8, d = 64, from trained weights, which `--cfg-options load_from=FILE` names, on 256 tiles of LEVIR layout.
_base_ = './cdmamba_v8_tiles.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(small_crops=None)  # trained weights have left the plateau behind
