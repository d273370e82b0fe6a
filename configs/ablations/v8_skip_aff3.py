# V8 with the skip strategy `aff3`: AFF with the three inputs A, B and the level above.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='AFF3Skip', gate='tanh')))
