# FC-EF (ICIP 2018): a small U-Net on both dates at once.
_base_ = '../_base_/peer.py'

model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.FC_EF', in_channels=6, base_channel=16),
    decode_head=dict(
        type='FCNHead', in_channels=16, channels=16, in_index=-1, num_convs=0, concat_input=False, dropout_ratio=0.))
