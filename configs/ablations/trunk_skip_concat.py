# The trunk alone with the skip strategy `concat`: AERNet's: concatenation, and a second skip after the block.
_base_ = './trunk.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='ConcatSkip')))
