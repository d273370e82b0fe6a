# V1 as a change of V8's model: a UNet-like decoder, and one AFF chain over the four differences.
ln = dict(type='mmseg.LN2d')
direct = dict(type='DirectReduction')
fusion = dict(type='AttentionalFeatureFusion', gate='tanh', ratio=4)
version = dict(
    neck=dict(norm_cfg=ln, difference=dict(type='DepthwiseDifferenceBlock'), reduction=direct),
    decode_head=dict(
        norm_cfg=ln,
        skip=dict(_delete_=True, type='UNetSkip', reduction=direct),
        block=dict(_delete_=True, type='VSSStack', depth=2),
        edge=None,
        chain=dict(type='DifferenceChain', fusion=fusion),
        loss_decode=dict(
            _delete_=True,
            bce=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_name='loss_bce'))))
