# Trains on generated scenes that are drawn in the workers of the loader and never come twice; no files are written.
# Validates and tests on a folder of LEVIR layout: written scenes (tools/dataset_converters/synthetic.py) or real pairs.
_base_ = './synthetic.py'

pairs_per_epoch = 2000
train_pipeline = [
    # The dates of a scene differ in season, light, camera and registration as they are.
    dict(type='RandomRotFlip', rotate_prob=0., flip_prob=1.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomSwapDates', prob=0.5),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,  # a core draws some 20 pairs a second
    sampler=dict(type='FreshSceneSampler', shuffle=False),
    dataset=dict(_delete_=True, type='SyntheticCDDataset', length=pairs_per_epoch, size=256, pipeline=train_pipeline))
