# What the models of Open-CD have in common here: our data, training, metric and pictures, and one logit per pixel.
_base_ = [
    './models/pair_input.py', './datasets/levircd_256.py', './schedules/plateau_200e.py', './default_runtime.py'
]

norm_cfg = dict(type='BN')
model = dict(
    type='OpenCDModel',  # built by Open-CD: `detector` is its type
    # These models need sides that are multiples of 32, as crops and tiles have them.
    data_preprocessor=_base_.data_preprocessor,
    # Open-CD has two logits in most heads and their cross entropy, which is a function of their difference.
    decode_head=dict(
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_name='loss_bce')),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
