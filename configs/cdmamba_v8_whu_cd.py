# CDMamba V8, d = 64, on WHU-CD cut to 256 tiles.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/datasets/whu_cd_256.py', './_base_/schedules/plateau_200e.py',
    './_base_/default_runtime.py'
]
