# 256 tiles of any data set of LEVIR layout, trained on crops of 128: twice the number of places for the same time.
# Validation and test are on whole tiles.
_base_ = './levircd_256.py'

train_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='LoadChangeLabel'),
    dict(type='RandomChangeCrop', crop_size=(128, 128), change_prob=0.8),
    *_base_.augmentation,
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
# For leaves that train on whole tiles. Not for scenes, whose train_pipeline has another camera.
whole_tiles = [
    dict(step, crop_size=(256, 256)) if step['type'] == 'RandomChangeCrop' else step for step in train_pipeline
]

# Together: 60 % of the crops show a change.
train_dataloader = dict(
    batch_size=16,
    sampler=dict(_delete_=True, type='ChangeBalancedSampler', change_share=0.7),
    dataset=dict(pipeline=train_pipeline))
