# Tiles of 256 x 256 of any data set of LEVIR layout, drawn larger and smaller: for few pairs and many epochs.
_base_ = './levircd_256.py'

tile = (256, 256)
train_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='LoadChangeLabel'),
    dict(type='RandomResize', scale=tile, ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomChangeCrop', crop_size=tile, change_prob=0.5),
    # What was drawn smaller. 0. and not 0: of an int mmcv makes one number per channel, and cv2 takes but four.
    dict(type='Pad', size=tile, pad_val=dict(img=0., seg=255)),
    *_base_.augmentation,
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]

train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
