# CGNet (JSTARS 2023): VGG-16 features of both dates, decoded under the guidance of a first change map.
_base_ = '../_base_/peer.py'

_map = dict(type='opencd.IdentityHead', in_channels=1)
model = dict(
    detector='opencd.DIEncoderDecoder',
    backbone=dict(type='opencd.CGNet', pretrained=False),
    decode_head=dict(_map, in_index=-1),
    auxiliary_head=dict(_base_.model.decode_head, **_map, in_index=0))

find_unused_parameters = True  # for several GPUs: it builds layers that it never calls
