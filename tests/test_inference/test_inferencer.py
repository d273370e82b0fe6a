"""The inferencer with a real model, of toy size."""
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.structures import SegDataSample

from mamba_cd_plugin.export.publish import publish
from mamba_cd_plugin.inference.inferencer import ChangeDetectionInferencer


@pytest.fixture(scope='module')
def inferencer(toy_checkpoint):
    return ChangeDetectionInferencer(str(toy_checkpoint), device='cpu', show_progress=False)


def test_training_checkpoint_is_all_it_needs(inferencer, town, toy_checkpoint, toy_config):
    a, b = town(96, 80)
    results = inferencer((a, b), return_vis=True)
    prediction = results['predictions'][0]
    assert prediction['mask'].shape == prediction['probability'].shape == (96, 80)
    assert set(np.unique(prediction['mask'])) == {0, 1}
    assert results['visualization'][0].dtype == np.uint8
    # The same as mmseg's own way of predicting.
    from mmseg.registry import MODELS
    model = MODELS.build(toy_config('cdmamba_v8_levircd.py').model).eval()
    model.load_state_dict(torch.load(toy_checkpoint, weights_only=False)['state_dict'])
    shapes = dict(img_shape=(96, 80), ori_shape=(96, 80))
    inputs = torch.from_numpy(np.concatenate([a, b], axis=2)).permute(2, 0, 1)
    with torch.no_grad():
        expected = model.test_step(dict(inputs=[inputs], data_samples=[SegDataSample(metainfo=shapes)]))
    np.testing.assert_allclose(prediction['probability'], expected[0].seg_logits.data[0], atol=1e-6)
    assert (prediction['mask'] == expected[0].pred_sem_seg.data[0].numpy()).all()


def test_published_checkpoint_and_config_give_the_same(inferencer, toy_checkpoint, toy_config, town, tmp_path):
    pair = town(64, 64)
    expected = inferencer(pair)['predictions'][0]['probability']
    published = publish(str(toy_checkpoint), tmp_path / 'cdmamba.pth')
    named = tmp_path / 'config.py'
    toy_config('cdmamba_v8_levircd.py').dump(named)
    for arguments in (dict(weights=str(published)), dict(model=str(named), weights=str(toy_checkpoint)),
                      dict(model=Config.fromfile(named), weights=str(toy_checkpoint))):
        again = ChangeDetectionInferencer(**arguments, device='cpu', show_progress=False)
        np.testing.assert_array_equal(again(pair)['predictions'][0]['probability'], expected)


def test_windows_of_a_model_that_looks_everywhere_meet_without_a_step(inferencer, town):
    pair = town(160, 160)
    stitched = inferencer(pair, tile=96, overlap=32)['predictions'][0]['probability']
    # Between neighbouring columns; the two windows share the columns 64 to 96.
    steps = np.abs(np.diff(stitched, axis=1)).mean(axis=0)
    assert steps[63:96].max() < 1.2 * np.delete(steps, np.s_[63:96]).max()
    whole = inferencer(pair)['predictions'][0]['probability']
    assert np.abs(stitched - whole).mean() < 0.05


def test_list_of_pairs_and_data_samples(inferencer, town):
    pairs = [town(32, 48, seed) for seed in (0, 1)]
    samples = inferencer(pairs, return_datasamples=True)['predictions']
    assert [sample.pred_sem_seg.data.shape for sample in samples] == [(1, 32, 48)] * 2
    assert not torch.equal(samples[0].seg_logits.data, samples[1].seg_logits.data)


def test_unknown_option(inferencer, town):
    with pytest.raises(ValueError, match="unknown argument {'tiles'}"):
        inferencer(town(32, 32), tiles=3)
    with pytest.raises(ValueError, match="polygons: expected one of none, gpkg, geojson, .*got 'shp'"):
        inferencer(town(32, 32), polygons='shp')


def test_checkpoints_that_do_not_fit(tmp_path, toy_checkpoint, toy_config):
    whole = torch.load(toy_checkpoint, weights_only=False)
    path = tmp_path / 'x.pth'

    def save(**parts):
        torch.save({**whole, **parts}, path)
        return str(path)

    with pytest.raises(FileNotFoundError, match='none.pth does not exist'):
        ChangeDetectionInferencer(str(tmp_path / 'none.pth'))
    with pytest.raises(FileNotFoundError, match='config none.py does not exist'):
        ChangeDetectionInferencer('none.py', save())
    with pytest.raises(ValueError, match='x.pth: holds no config; name its config file'):
        ChangeDetectionInferencer(save(meta={}))
    fewer = {key: value for key, value in whole['state_dict'].items() if 'stem' not in key}
    with pytest.raises(ValueError, match='(?s)x.pth: its weights are not those.*8 of the model are missing .*stem'):
        ChangeDetectionInferencer(save(state_dict=fewer))
    text = toy_config('cdmamba_v8_levircd.py').pretty_text.replace("arch='toy'", "arch='toys'")
    with pytest.raises(ValueError, match="cannot build the model in its config: .*arch 'toys' is unknown"):
        ChangeDetectionInferencer(save(meta=dict(cfg=text)))
    with pytest.raises(ValueError, match='no checkpoint was named'):
        ChangeDetectionInferencer(toy_config('cdmamba_v8_levircd.py'))
