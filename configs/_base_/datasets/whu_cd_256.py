# WHU-CD, aerial images at 0.2 m, cut without overlap into tiles of 256 x 256: 4,366 / 472 / 2,596 pairs.
# There is no official validation split: the converter sets the eastern strip of the training area aside.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/whu_cd_256}}'
