# Generated scenes in files, trained on crops of 128, as tiles_crop128.py trains on real tiles.
_base_ = './synthetic.py'

train_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='LoadChangeLabel'),
    dict(type='RandomChangeCrop', crop_size=(128, 128), change_prob=0.8),
    *_base_.augmentation[:-1],  # without PairPhotoMetricDistortion: more cameras than the scenes were drawn with
    dict(type='RandomCamera', prob=0.5, strength=0.7),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]

# Together: 60 % of the crops show a change.
train_dataloader = dict(
    batch_size=16,
    sampler=dict(_delete_=True, type='ChangeBalancedSampler', change_share=0.7),
    dataset=dict(pipeline=train_pipeline))
