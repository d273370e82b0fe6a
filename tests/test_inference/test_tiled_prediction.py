import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from mamba_cd_plugin.inference.job import NODATA, MemorySink
from mamba_cd_plugin.inference.models import TorchTileModel, batch_that_fits
from mamba_cd_plugin.inference.pairs import open_pair
from mamba_cd_plugin.inference.windows import PredictOptions, predict_tiled

SMALL = PredictOptions(tile=128, overlap=32)


def predict(pair, model, options=SMALL):
    sink = MemorySink()
    predict_tiled(open_pair(*pair), model, options.fitted_to(model), sink, progress=False)
    return sink.result()


@pytest.mark.parametrize('stride', [1, 8])
@pytest.mark.parametrize('size', [(300, 421), (128, 500), (97, 60), (333, 128)])
def test_stitched_is_whole_for_a_model_that_looks_only_locally(town, local_models, stride, size):
    pair = town(*size)
    whole = local_models(stride).forward(np.concatenate(pair, axis=2)[None])[0]
    stitched = predict(pair, local_models(stride))
    np.testing.assert_allclose(stitched.probability, whole, atol=2e-6)
    assert set(np.unique(stitched.mask)) == {0, 1}


def test_batches_and_flips_change_nothing_for_a_symmetric_model(town, local_model):
    pair = town(300, 420)
    expected = predict(pair, local_model).probability
    for options in (SMALL._replace(batch_size=3), SMALL._replace(tta=True)):
        np.testing.assert_allclose(predict(pair, local_model, options).probability, expected, atol=1e-6)
    assert {shape[0] for shape in local_model.seen} == {1, 3}


def test_flips_average_the_views(local_models):

    class LeftEdge(local_models):

        def forward(self, pairs):
            change = np.zeros(pairs.shape[:3], np.float32)
            change[:, :, 0] = 1
            return change

    pairs = np.zeros((1, 4, 4, 6), np.uint8)
    assert LeftEdge().predict(pairs, flips=True)[0, 0].tolist() == pytest.approx([2 / 3, 0, 0, 1 / 3])


def test_the_next_windows_are_read_while_the_model_works(town, local_models):
    pair = open_pair(*town(128, 500))
    second_read, read = threading.Event(), pair.read

    def reading(window):
        if window.columns.start > 0:
            second_read.set()
        return read(window)

    class Waiting(local_models):

        def forward(self, pairs):
            assert second_read.wait(10), 'nothing was read while the model had its first window'
            return super().forward(pairs)

    pair.read = reading
    predict_tiled(pair, Waiting(), SMALL.fitted_to(Waiting()), MemorySink(), progress=False)


def test_threshold_is_the_users_or_the_models(town, local_model):
    pair = town(128, 128)
    low, high = (predict(pair, local_model, SMALL._replace(threshold=value)) for value in (0.05, 0.6))
    assert (low.mask == (low.probability > 0.05)).all()
    assert (predict(pair, local_model).mask == (low.probability > local_model.threshold)).all()
    assert low.mask.sum() > high.mask.sum()
    with pytest.raises(ValueError, match='threshold: expected a probability between 0 and 1, got 50'):
        predict(pair, local_model, SMALL._replace(threshold=50))


def test_nodata_is_no_change_costs_nothing_and_comes_out_as_nodata(town, local_model):
    a, b = (image.astype(np.float32) for image in town(128, 500))
    a[:, :224] = np.nan  # the first two windows of 128, and the first 32 px of the third
    result = predict((a, b), local_model)
    assert (result.mask == NODATA).sum() == 128 * 224
    assert np.isnan(result.probability[:, :224]).all()
    assert np.isfinite(result.probability[:, 224:]).all()
    assert [shape[2] for shape in local_model.seen] == [128, 128, 128 + 20]


def test_fill_makes_no_edge_that_only_one_date_has(local_model):
    a = np.full((128, 128, 3), 200, np.float32)
    b = a.copy()
    b[:, :64] = np.nan
    pair = open_pair(a, b)
    sink = MemorySink()
    predict_tiled(pair, local_model, SMALL.fitted_to(local_model), sink, progress=False)
    assert (sink.result().probability[:, 64:] == 0).all()


def test_nan_of_the_model_is_an_error(town, local_models):

    class Broken(local_models):

        def forward(self, pairs):
            return np.full(pairs.shape[:3], np.nan, np.float32)

    with pytest.raises(ValueError, match='gave NaN probabilities: its weights are damaged'):
        predict(town(64, 64), Broken())


def test_model_of_fixed_size(town, local_models):

    class Fixed(local_models):
        side, align = 64, 1

    model = Fixed()
    pair = town(100, 200)
    whole = local_models().forward(np.concatenate(pair, axis=2)[None])[0]
    np.testing.assert_allclose(predict(pair, model).probability, whole, atol=2e-6)
    assert {shape[1:3] for shape in model.seen} == {(64, 64)}


def test_a_gpu_that_is_too_small_is_named(toy_v8, monkeypatch):

    def fail(*args):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(toy_v8, 'encode_decode', fail)
    with pytest.raises(ValueError, match='3 windows of 64 x 96 px at once do not fit into the memory of cpu; .*--tile'):
        TorchTileModel(toy_v8, {}).forward(np.zeros((3, 64, 96, 6), np.uint8))


@pytest.mark.parametrize('free, needed, batch', [(10e9, 1e9, 7), (1e9, 2e9, 1), (80e9, 1e6, 32), (0, 0, 1)])
def test_batch_by_memory(free, needed, batch):
    assert batch_that_fits(int(free), int(needed)) == batch


def test_progress_has_an_eta(town, local_model, capsys):
    predict_tiled(open_pair(*town(128, 200)), local_model, SMALL.fitted_to(local_model), MemorySink())
    assert '2/2' in capsys.readouterr().out


def test_a_cpu_gets_512_px_squared_per_worker(toy_v8):
    model = TorchTileModel(toy_v8, {})
    assert [model.batch_size(tile) for tile in (128, 256, 512, 1024)] == [16, 4, 1, 1]
    assert model.fill.tolist() == [124, 116, 104]


@pytest.mark.parametrize('cores, tile, workers, threads', [
    (1, 512, 1, 1), (2, 512, 2, 1), (2, 256, 2, 1), (16, 512, 4, 4), (3, 512, 3, 1), (2, 1024, 1, 2), (8, 2048, 1, 8)])
def test_cores_are_shared_out_among_the_windows(toy_v8, monkeypatch, cores, tile, workers, threads):
    model, told = TorchTileModel(toy_v8, {}), []
    monkeypatch.setattr(torch, 'get_num_threads', lambda: cores)
    monkeypatch.setattr(torch, 'set_num_threads', told.append)
    with model.workers(tile) as count:
        assert (count, told) == (workers, [threads])
    assert told == [threads, cores]


def test_workers_change_no_bit(toy_v8, town, monkeypatch):
    pair = town(160, 300)
    expected = predict(pair, TorchTileModel(toy_v8, {}))
    monkeypatch.setattr(TorchTileModel, 'workers', lambda self, tile: nullcontext(3))
    result = predict(pair, TorchTileModel(toy_v8, {}))
    np.testing.assert_array_equal(result.probability, expected.probability)


def test_workers_run_at_the_same_time(town, local_models):
    both = threading.Barrier(2, timeout=10)

    class Meeting(local_models):

        def workers(self, tile):
            return nullcontext(2)

        def forward(self, pairs):
            both.wait()
            return super().forward(pairs)

    pair = town(128, 400)  # four windows
    np.testing.assert_array_equal(predict(pair, Meeting()).probability, predict(pair, local_models()).probability)
