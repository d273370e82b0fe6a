# The diary's run 103140: learning rate scaled with the batch size, x 128/12; diary: F1 89.68, 90.33 on whole images.
_base_ = '../cdmamba_v5_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=200)
optim_wrapper = dict(optimizer=dict(lr=1.07e-3))
