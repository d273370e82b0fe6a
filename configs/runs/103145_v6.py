# The diary's run 103145: the diary: F1 89.21, flat after epoch 39.
_base_ = '../cdmamba_v6_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=200)
optim_wrapper = dict(optimizer=dict(lr=1.07e-3))
