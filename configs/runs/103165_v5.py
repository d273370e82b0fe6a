# The diary's run 103165: run 103140 with 300 epochs; the diary: F1 89.56.
_base_ = '../cdmamba_v5_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(optimizer=dict(lr=1.07e-3))
