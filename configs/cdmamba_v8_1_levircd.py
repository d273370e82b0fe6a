# CDMamba V8.1: V8 with AdamW at 8e-4, weight decay 5e-4 and batches of 128 (run 103502).
_base_ = './cdmamba_v8_levircd.py'

train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=8e-4, weight_decay=5e-4))
