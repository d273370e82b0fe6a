# ConMamba as we read it: an encoder of convolutions beside state-space blocks, a decoder without skips, on LEVIR-CD cut
# to 256 tiles. Data and schedule are those of CDMamba.
_base_ = [
    '../_base_/models/conmamba.py', '../_base_/datasets/levircd_256.py', '../_base_/schedules/plateau_200e.py',
    '../_base_/default_runtime.py'
]

find_unused_parameters = True  # for several GPUs: A and B above stride 32 are not read at all
