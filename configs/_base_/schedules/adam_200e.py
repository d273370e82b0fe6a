# The diary's schedule with its first optimizer: V1 to V7.
_base_ = './plateau_200e.py'

optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-4))
