# How a pair enters every model here.
data_preprocessor = dict(
    type='PairDataPreProcessor',
    # ImageNet's, as the official VMamba weights expect.
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    size_divisor=1,  # mmseg wants a size or a divisor; crops already have one size
    pad_val=0,
    seg_pad_val=255)
