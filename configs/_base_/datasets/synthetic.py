# Generated scenes of 256 x 256, written by tools/dataset_converters/synthetic.py.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/synthetic}}'

train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
