# SYSU-CD, urban and coastal changes of all kinds at 0.5 m, 256 x 256 as it comes: 12,000 / 4,000 / 4,000 pairs.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/sysu_cd_256}}'
