# V8 with an output and a loss at every decoder level, as V7 and AERNet have them.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(decode_head=dict(level_output=dict(type='LevelOutput', width=32)))
