# CDMamba V6.2: V6.1 with the depthwise difference block again (run 103503).
_base_ = './cdmamba_v6_1_levircd.py'

model = dict(neck=dict(difference=dict(type='DepthwiseDifferenceBlock')))
