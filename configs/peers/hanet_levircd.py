# HANet (JSTARS 2023): a siamese network with hierarchical attention along rows and columns.
_base_ = '../_base_/peer.py'

model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.HAN', in_channels=3, base_channel=40),
    decode_head=dict(
        type='FCNHead', in_channels=80, channels=80, in_index=-1, num_convs=0, concat_input=False, dropout_ratio=0.))

find_unused_parameters = True  # for several GPUs: it builds layers that it never calls
