# CDMamba V6.1, the best V6 ('6.1 BEST', run 103255): the trunk takes only the level above, AB enters a Laplacian edge
# branch; gate tanh.
_base_ = [
    './_base_/models/cdmamba_v8.py', './_base_/versions/v6_1.py', './_base_/datasets/levircd_256.py',
    './_base_/schedules/adam_200e.py', './_base_/default_runtime.py'
]

model = _base_.version
