# The tiles of LEVIR-CD as ChangeMamba trains on them: turned and reflected, no change of colours, no swap of the dates.
_base_ = './levircd_256.py'

# The two steps that make each of the eight orientations equally likely. The authors' code always turns by 90, 180 or
# 270 degrees after its flips, which gives the four orientations that exchange rows and columns 2/3 instead of 1/2.
train_pipeline = [
    dict(type='LoadImagePair'),
    dict(type='LoadChangeLabel'),
    *_base_.augmentation[:2],
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
