# V8 with the gelu gate.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(decode_head=dict(fusion=dict(gate='gelu')))
