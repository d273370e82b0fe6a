# CDMamba V6 with the gelu gate (run 103257).
_base_ = './cdmamba_v6_1_levircd.py'

model = dict(decode_head=dict(fusion=dict(gate='gelu')))
