# Generated scenes in files, trained on crops of 128 as tiles_crop128.py trains on real tiles.
_base_ = './tiles_crop128.py'

data_root = '{{$MAMBA_CD_DATA:data/synthetic}}'

# More cameras than the scenes were drawn with, in place of PairPhotoMetricDistortion.
camera = dict(type='RandomCamera', prob=0.5, strength=0.7)
train_pipeline = [
    camera if step['type'] == 'PairPhotoMetricDistortion' else step for step in _base_.train_pipeline
]

train_dataloader = dict(num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
