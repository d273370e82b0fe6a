# The diary's run 103144: batch size 12; the diary: F1 88.57, stopped at epoch 45.
_base_ = '../cdmamba_v6_levircd.py'

train_cfg = dict(max_epochs=200)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
