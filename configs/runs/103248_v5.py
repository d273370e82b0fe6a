# The diary's run 103248: a lower learning rate and fewer epochs; the diary gives no score.
_base_ = '../cdmamba_v5_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=150)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
