# S2Looking, rural buildings seen from the side at 0.5 to 0.8 m, cut into 256 x 256: 56,000 / 8,000 / 16,000 pairs.
_base_ = './levircd_256.py'

data_root = '{{$MAMBA_CD_DATA:data/s2looking_256}}'
