# LEVIR-CD+, cut without overlap into tiles of 256 x 256: 9,168 / 1,024 / 5,568 pairs.
# There is no official validation split: the converter sets the last tenth of the training images aside.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/levir_cd_plus_256}}'
