# The diary's schedule: up to 200 epochs; the learning rate is divided by ten when the changed-class F1 has not improved
# for 15 epochs (10 are too few: diary, Version1), and training stops when the lower learning rate does not help either.
train_cfg = dict(type='CDTrainLoop', max_epochs=200, val_interval=1)
val_cfg = dict(type='CDValLoop')
test_cfg = dict(type='ProtocolTestLoop', tile=256)

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='FanInOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=5e-4),
    paramwise_cfg=dict(
        # Decay pulls weights to zero; norms, biases and the state-space model's own parameters mean something else
        # there (A = -exp(A_logs) would be pulled to -1, every step size to one value). VMamba leaves them out too.
        flat_decay_mult=0.,
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys=dict(A_logs=dict(decay_mult=0.), Ds=dict(decay_mult=0.), dt_projs_bias=dict(decay_mult=0.))))

param_scheduler = [
    dict(type='ReduceOnPlateauLR', monitor='changed_F1', rule='greater', factor=0.1, patience=15, by_epoch=True)
]

# lr 1e-4 belongs to 12 pairs a step; tools/train.py --auto-scale-lr scales it with the real number (diary: x 128/12).
auto_scale_lr = dict(enable=False, base_batch_size=12)

custom_hooks = [
    # After two reductions of the learning rate (2 x 15 epochs) and a margin, no run of the diary improved any more.
    dict(type='PlateauStoppingHook', monitor='changed_F1', rule='greater', patience=35, min_delta=0.),
    dict(type='EmptyCacheHook', after_epoch=True),
    dict(type='NonFiniteLossGuardHook'),
    dict(type='CollapseGuardHook'),
    dict(type='CurvesHook'),
]
