# The small V8 from trained weights, which `--cfg-options load_from=FILE` names, on 256 tiles of LEVIR layout.
_base_ = './cdmamba_v8_small_tiles.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3))
