# V8 with the skip strategy `triple_vss`: ChangeMamba's three orders of A and B.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='TripleVSS')))
