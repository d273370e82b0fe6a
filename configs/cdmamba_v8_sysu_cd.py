# CDMamba V8, d = 64, on the original tiles of SYSU-CD, 256 x 256.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/datasets/sysu_cd_256.py', './_base_/schedules/plateau_200e.py',
    './_base_/default_runtime.py'
]
