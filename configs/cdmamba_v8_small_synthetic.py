# The small V8 on generated scenes: what `make demo` trains, in minutes on two cores.
_base_ = [
    './_base_/models/cdmamba_v8_small.py', './_base_/datasets/synthetic.py', './_base_/schedules/cosine_short.py',
    './_base_/default_runtime.py'
]

optim_wrapper = dict(optimizer=dict(lr=2e-3))  # clean labels and pixel-true pairs bear twice the schedule's rate
