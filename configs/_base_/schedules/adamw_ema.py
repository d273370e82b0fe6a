# The recipe: AdamW with learning rates by fan-in, warm-up and one cosine to zero, and averaged weights.
_base_ = './plateau_200e.py'

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(
    # Of 2e-3 and 5e-3 the larger learned more slowly over 300 steps.
    optimizer=dict(lr=2e-3, weight_decay=0.01),
    # About the fan-in of the small V8's level 1, which the rate is for. Without it the trunk of level 4 grew from an
    # rms of 0.9 to 9 in 100 steps at this rate, beside a branch of 0.6; with it, it stays at 0.9.
    paramwise_cfg=dict(full_rate_fan_in=100),
    clip_grad=dict(max_norm=5.))  # an unlucky batch of the first steps; later norms are 1 to 4

# Those rates are for batches of 16, not for the plateau's 12.
auto_scale_lr = dict(base_batch_size=16)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True),
]

custom_hooks = [
    # Not that of the plateau: a cosine gains most at its end.
    *[hook for hook in _base_.custom_hooks if hook['type'] != 'PlateauStoppingHook'],
    # The average is over the last tenth of the steps so far (gamma 10), and never over more than the last 1,000. The
    # buffers are averaged too: BatchNorm's statistics of other weights would not fit.
    dict(
        type='EMAHook', ema_type='ForeachMomentumAnnealingEMA', momentum=0.001, gamma=10, update_buffers=True),
]
