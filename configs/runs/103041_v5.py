# The diary's run 103041: batch size 128 at the learning rate of batch size 12; the diary: F1 81, stuck
# after epoch 24, the learning rate was too low.
_base_ = '../cdmamba_v5_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=200)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
