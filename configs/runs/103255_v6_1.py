# The diary's run 103255: gate tanh; the diary: the best V6.
_base_ = '../cdmamba_v6_1_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=150)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
