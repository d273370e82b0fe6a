# The diary's run 103503: V6.1 with the depthwise difference block; the diary gives no score.
_base_ = '../cdmamba_v6_2_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=150)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
