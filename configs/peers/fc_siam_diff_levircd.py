# FC-Siam-diff (ICIP 2018): a siamese U-Net whose skips carry the difference of the dates.
_base_ = '../_base_/peer.py'

model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.FC_Siam_diff', in_channels=3, base_channel=16),
    decode_head=dict(
        type='FCNHead', in_channels=16, channels=16, in_index=-1, num_convs=0, concat_input=False, dropout_ratio=0.))
