# CDMamba V8, d = 64, on S2Looking cut to 256 tiles.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/datasets/s2looking_256.py', './_base_/schedules/plateau_200e.py',
    './_base_/default_runtime.py'
]
