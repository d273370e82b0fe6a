# The diary's schedule with its first optimizer: V1 to V7.
_base_ = './plateau_200e.py'

# A decay of 0 is written out: without one mmengine refuses the factors of the schedule's paramwise_cfg.
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-4, weight_decay=0.))
