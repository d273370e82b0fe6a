# CDMamba V6: V6.1 with the sigmoid gate it was first written with.
_base_ = './cdmamba_v6_1_levircd.py'

model = dict(decode_head=dict(fusion=dict(gate='sigmoid')))
