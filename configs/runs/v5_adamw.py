# The diary's plan, item 9: its best run, 103140, with AdamW and weight decay 5e-4 instead of Adam.
_base_ = '../cdmamba_v5_levircd.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=150)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=8e-4, weight_decay=5e-4))
