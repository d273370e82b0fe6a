# Any folder of LEVIR layout with images of any size: training on crops of 256, validation and test on whole images.
# A folder without test/ is tested on another split by `--cfg-options test_dataloader.dataset.split=val`.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/levir_cd}}'

crop_size = (256, 256)
train_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='LoadChangeLabel'),
    dict(type='RandomChangeCrop', crop_size=crop_size, change_prob=0.5),
    # Images smaller than the crop. 0. and not 0: of an int mmcv makes one number per channel, and cv2 takes but four.
    dict(type='Pad', size=crop_size, pad_val=dict(img=0., seg=255)),
    *_base_.augmentation,
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=1)  # images of different size do not fit into one batch
test_dataloader = dict(batch_size=1)
