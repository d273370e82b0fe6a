# CDMamba V8, d = 64, on CLCD cut to 256 tiles.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/datasets/clcd_256.py', './_base_/schedules/plateau_200e.py',
    './_base_/default_runtime.py'
]
