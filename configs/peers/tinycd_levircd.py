# TinyCD (NCAA 2022): the first levels of an EfficientNet-B4, mixed across the dates.
_base_ = '../_base_/peer.py'

model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.TinyCD', in_channels=3, pretrained=False),
    decode_head=dict(type='opencd.IdentityHead', in_channels=1, in_index=-1))
