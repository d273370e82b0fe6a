"""Private names of other libraries mean what they meant when they were tried."""
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from mmengine.utils import digit_version

from mamba_cd_plugin import private_names


def test_the_process_ends_with_its_status_and_what_was_registered_for_its_end():
    program = ('import atexit, logging; from mamba_cd_plugin.private_names import end_process\n'
               'class Never:\n    def __del__(self): print("taken apart")\n'
               'atexit.register(print, "registered"); never = Never(); print("before"); end_process(3)')
    run = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.split(), run.stderr) == (3, ['before', 'registered'], '')


@pytest.mark.skipif(digit_version(torch.__version__) < digit_version('2.9'), reason='exporting needs torch 2.9')
def test_torch_scan_is_a_cumulative_sum_of_what_it_is_told():
    def step(state, value):
        return state + value, state + value

    last, sums = private_names.torch_scan()(step, torch.zeros(2), torch.arange(6.).reshape(3, 2), dim=0)
    assert last.tolist() == [6, 9]
    assert sums.tolist() == [[0, 1], [2, 4], [6, 9]]


def test_numpy_core_holds_what_its_pickles_call():
    core = private_names.numpy_core().multiarray
    assert pickle.loads(pickle.dumps(np.arange(3))).tolist() == [0, 1, 2]
    assert np.arange(3).__reduce__()[0] is core._reconstruct
    assert np.float32(1).__reduce__()[0] is core.scalar


def test_gdal_error_is_what_a_warp_between_a_local_crs_and_utm_raises(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT
    profile = dict(driver='GTiff', count=1, height=4, width=4, dtype='uint8')
    with rasterio.open(tmp_path / 'a.tif', 'w', crs='LOCAL_CS["site",UNIT["metre",1]]',
                       transform=rasterio.Affine(1, 0, 5e5, 0, -1, 53e5), **profile) as file:
        file.write(np.zeros((1, 4, 4), np.uint8))
    with rasterio.open(tmp_path / 'a.tif') as file, pytest.raises((private_names.gdal_error(), RasterioError)):
        WarpedVRT(file, crs='EPSG:32632', transform=file.transform, height=4, width=4)


def test_set_epochs_is_what_a_loop_of_mmengine_reads():
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop.dataloader, loop._max_epochs, loop._max_iters = range(7), 10, 70
    private_names.set_epochs(loop, 3)
    assert (loop.max_epochs, loop.max_iters) == (3, 21)


def test_count_epoch_is_what_a_loop_of_mmengine_counts():
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop._epoch = 4
    private_names.count_epoch(loop)
    assert loop.epoch == 5
