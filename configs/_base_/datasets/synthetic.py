# Generated scenes of 256 x 256, written by tools/dataset_converters/synthetic.py.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/synthetic}}'

# Season, light and camera differ between the two dates of every scene as it is.
train_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'PairPhotoMetricDistortion']

train_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
