# The trunk alone with the skip strategy `none`: no skip below the deepest level, as in ConMamba according to the diary.
_base_ = './trunk.py'

model = dict(decode_head=dict(skip=dict(_delete_=True, type='NoSkip')))
find_unused_parameters = True  # for several GPUs: A and B of the other levels are not read at all
