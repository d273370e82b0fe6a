# V8 with the skip strategy `concat`: AERNet's: concatenation, and a second skip after the block.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='ConcatSkip')))
