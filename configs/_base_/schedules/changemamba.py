# ChangeMamba's own training: 20,000 steps of 16 pairs, AdamW at a constant rate, decay on all weights alike.
_base_ = './plateau_200e.py'

max_epochs = 45  # of LEVIR-CD's 7,120 tiles, 445 steps each
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=5e-3),
    # One logit that is the difference of two, trained as the two are: AdamW moves each of their rows by the rate, in
    # opposite directions, and the difference by twice the rate; decay takes the same share of the rows and of it.
    paramwise_cfg=dict(_delete_=True, custom_keys={'decode_head.conv_seg': dict(lr_mult=2., decay_mult=0.5)}))
param_scheduler = []
auto_scale_lr = dict(base_batch_size=16)
custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'PlateauStoppingHook']
