# V7 at d = 24: the level outputs keep half of d.
_base_ = './v7.py'

version = dict(decode_head=dict(level_output=dict(width=12)))
