# For runs of minutes on a CPU: a warm-up, then one cosine to zero, since a plateau cannot be told from noise so soon.
_base_ = './plateau_200e.py'

max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(
    # Ten times the learning rate for batch size 12: the model is narrow and untrained, and the cosine reduces it.
    optimizer=dict(lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5.))  # the first steps of Lovasz from random weights reach norms of 50

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
