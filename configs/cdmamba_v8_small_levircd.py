# The small V8 on any folder of LEVIR layout (crops of 256 from images of any size), for a CPU.
_base_ = ['./_base_/models/cdmamba_v8_small.py', './_base_/small_levircd.py']
