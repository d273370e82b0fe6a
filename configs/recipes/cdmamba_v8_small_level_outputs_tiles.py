# The small V8 with an output and a loss at every decoder level, as V7 and AERNet have them, by the recipe.
_base_ = './cdmamba_v8_small_tiles.py'

model = dict(decode_head=dict(level_output=dict(type='LevelOutput', width=12)))
