# SNUNet-CD with 16 channels (GRSL 2021): a siamese UNet++ with channel attention over its outputs.
_base_ = '../_base_/peer.py'

model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.SNUNet_ECAM', in_channels=3, base_channel=16),
    decode_head=dict(
        type='FCNHead', in_channels=64, channels=64, in_index=-1, num_convs=0, concat_input=False, dropout_ratio=0.))
