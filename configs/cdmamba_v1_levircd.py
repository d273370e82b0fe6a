# CDMamba V1: a UNet-like decoder of VSS blocks, and one AFF chain over the four differences.
_base_ = './cdmamba_v8_levircd.py'

norm_cfg = dict(type='mmseg.LN2d')
direct = dict(type='DirectReduction')
fusion = dict(type='AttentionalFeatureFusion', gate='tanh', ratio=4)
model = dict(
    neck=dict(norm_cfg=norm_cfg, difference=dict(type='DepthwiseDifferenceBlock'), reduction=direct),
    decode_head=dict(
        norm_cfg=norm_cfg,
        skip=dict(_delete_=True, type='UNetSkip', reduction=direct),
        block=dict(_delete_=True, type='VSSStack', depth=2),
        edge=None,
        chain=dict(type='DifferenceChain', fusion=fusion),
        loss_decode=dict(
            _delete_=True,
            bce=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_name='loss_bce'))))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-4))
