# The trunk alone, classified at stride 4 (the diary asks for the opposite: 填上头, "add the head").
_base_ = './trunk.py'

model = dict(decode_head=dict(final=None))
