# V8 with the skip strategy `none`: no skip below the deepest level, as in ConMamba according to the diary.
_base_ = '../cdmamba_v8_levircd.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='NoSkip')))
