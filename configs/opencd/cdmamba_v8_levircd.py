# CDMamba V8 for Open-CD's tools/train.py and tools/test.py: our encoder, neck and head inside its change detector.
_base_ = [
    '../_base_/models/cdmamba_v8.py', '../_base_/opencd/levircd.py', '../_base_/opencd/runtime_40k.py'
]

model = dict(
    type='DIEncoderDecoder',
    data_preprocessor=dict(
        _delete_=True, type='DualInputSegDataPreProcessor', mean=[123.675, 116.28, 103.53] * 2,
        std=[58.395, 57.12, 57.375] * 2, bgr_to_rgb=True, size_divisor=1, test_cfg=dict(size_divisor=1)),
    backbone=dict(type='mmseg.SiameseVSSM'),
    neck=dict(type='mmseg.BitemporalFusionNeck'),
    decode_head=dict(type='mmseg.EdgeGuidedHead'))
