# V8 without the learned half of the difference block: D = |A - B| (diary: 拿掉DDB, "remove the DDB").
_base_ = '../cdmamba_v8_levircd.py'

model = dict(neck=dict(difference=dict(type='DifferenceBlock')))
