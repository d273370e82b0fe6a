# Hooks, logging and the environment of every run.
default_scope = 'mmseg'
custom_imports = dict(imports=['mamba_cd_plugin.registration'], allow_failed_imports=False)

env_cfg = dict(
    cudnn_benchmark=True,  # up to a minute for each size of input before its first step: docs/faq.md
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
randomness = dict(seed=0)

default_hooks = dict(
    summary=dict(type='RunSummaryHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='ResumableCheckpointHook', interval=1, by_epoch=True, max_keep_ckpts=1, save_best='changed_F1',
        rule='greater'),
    weights=dict(type='LoadedWeightsHook'),
    resume=dict(type='ResumeHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='ChangeVisualizationHook'))

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='ChangeVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=True, window_size=20)
log_level = 'INFO'
load_from = None
resume = False

tta_model = dict(type='ChangeTTAModel')
