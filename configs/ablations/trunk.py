# The trunk alone: V8 without edge branch and AFF (diary: 拿掉融合分支,也就是单独把主干拎出来, "remove the
# fusion branch, that is, take the trunk alone"). Its norms are BN.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(neck=dict(difference=None), decode_head=dict(edge=None, fusion=None))
