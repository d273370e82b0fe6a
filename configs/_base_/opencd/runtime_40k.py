# Open-CD's hooks and its schedule of 40,000 iterations; of ours the environment and the optimizer.
_base_ = ['../schedules/plateau_200e.py', '../default_runtime.py']

default_scope = 'opencd'

default_hooks = dict(
    _delete_=True,
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Not mFscore: the mean leaves out a class that is never predicted, so that a collapsed model would be the best.
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4000, max_keep_ckpts=1, save_best='mIoU'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='CDVisualizationHook', interval=1))
custom_hooks = []  # ours watch for a plateau of changed_F1, which Open-CD's metric does not give
vis_backends = [dict(type='CDLocalVisBackend')]
visualizer = dict(_delete_=True, type='CDLocalVisualizer', vis_backends=vis_backends, name='visualizer', alpha=1.0)
log_processor = dict(_delete_=True, by_epoch=False)

train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(_delete_=True, type='TestLoop')
optim_wrapper = dict(constructor='mmseg.FanInOptimWrapperConstructor')
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1000),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1000, end=40000),
]

tta_model = dict(type='mmseg.ChangeTTAModel')
