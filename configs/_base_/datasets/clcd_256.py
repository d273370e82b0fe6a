# CLCD, cropland at 0.5 to 2 m, cut without overlap into tiles of 256 x 256: 1,440 / 480 / 480 pairs.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/clcd_256}}'
