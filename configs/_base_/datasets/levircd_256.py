# LEVIR-CD, cut without overlap into tiles of 256 x 256: 7,120 / 1,024 / 2,048 pairs.
# The one key for all three loaders; a leaf's `data_root = ...` and `--cfg-options data_root=...` reach them too.
data_root = '{{$MAMBA_CD_DATA:data/levir_cd_256}}'

# mmseg's own keys and the path of the second image, which the pictures need.
meta_keys = ('img_path', 'img_path2', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip',
             'flip_direction', 'reduce_zero_label')
augmentation = [
    # Always one of the four reflections; the flip after it undoes half of them. So each of the eight orientations of
    # a tile is equally likely, and no pixel is interpolated.
    dict(type='RandomRotFlip', rotate_prob=0., flip_prob=1.),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomSwapDates', prob=0.5),
    # Milder than mmseg's default: drawn for each date by itself, the differences between the dates add up.
    dict(type='PairPhotoMetricDistortion', brightness_delta=10, contrast_range=(0.8, 1.2),
         saturation_range=(0.8, 1.2), hue_delta=10),
]
train_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='LoadChangeLabel'),
    *augmentation,
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='LoadChangeLabel'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
tta_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=0.),
         dict(type='RandomFlip', prob=1., direction='horizontal'),
         dict(type='RandomFlip', prob=1., direction='vertical')],
        [dict(type='LoadChangeLabel')],
        [dict(type='PackSegInputs', meta_keys=meta_keys)],
    ]),
]

train_dataloader = dict(
    batch_size=12,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,  # 445 whole images leave a batch of one, on which batch norm over a global average fails
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='PairCDDataset', split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=12,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='PairCDDataset', split='val', test_mode=True, pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=12,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='PairCDDataset', split='test', test_mode=True, pipeline=test_pipeline))

val_evaluator = dict(type='ChangeMetric')
test_evaluator = dict(type='ChangeMetric', objects=True)
