import math

import numpy as np
import pytest
import torch

from mamba_cd_plugin.engine.config_text import parse_config_text
from mamba_cd_plugin.evaluation import Calibration
from mamba_cd_plugin.export.publish import FORMATS, calibrate_model, publish
from mamba_cd_plugin.inference import ChangeDetectionInferencer
from mamba_cd_plugin.inference.checkpoints import file_hash, read_checkpoint


@pytest.mark.parametrize('suffix', FORMATS)
def test_published_file(toy_checkpoint, tmp_path, suffix):
    path = publish(str(toy_checkpoint), tmp_path / 'models' / f'cdmamba{suffix}', metrics=dict(test_changed_F1=0.9))
    assert path.name == f'cdmamba-{file_hash(path)}{suffix}'
    assert list(path.parent.iterdir()) == [path]
    content = read_checkpoint(str(path))
    assert set(content) == {'meta', 'state_dict'}
    meta = content['meta']
    assert meta['metrics'] == dict(changed_F1=0.75, test_changed_F1=0.9)  # the last validation's, and no times
    assert meta['dataset_meta']['classes'] == ('unchanged', 'changed')
    cfg = parse_config_text(meta['cfg'], 'x')
    assert cfg.model.backbone.arch == 'toy'
    assert 'data' not in meta['cfg'].replace('data_preprocessor', '')  # no path of the machine
    before = torch.load(toy_checkpoint, weights_only=False)['state_dict']
    assert all(torch.equal(content['state_dict'][key], before[key]) for key in before)


@pytest.mark.parametrize('suffix', FORMATS)
def test_same_checkpoint_gives_the_same_file(toy_checkpoint, tmp_path, suffix):
    one, two = (publish(str(toy_checkpoint), tmp_path / name / f'x{suffix}') for name in '12')
    assert one.name == two.name
    # Nothing is lost by publishing again, through the other format too.
    other = publish(str(one), tmp_path / '3' / f'x{FORMATS[suffix == FORMATS[0]]}')
    assert publish(str(other), tmp_path / '4' / f'x{suffix}').name == one.name


def test_another_suffix_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match=r'x.onnx: expected a file that ends in .pth or .safetensors'):
        publish('does_not_exist.pth', tmp_path / 'x.onnx')


@pytest.mark.parametrize('suffix', FORMATS)
def test_altered_file_is_noticed(toy_checkpoint, tmp_path, suffix):
    path = publish(str(toy_checkpoint), tmp_path / f'x{suffix}')
    content = bytearray(path.read_bytes())
    if suffix == '.pth':
        changed = torch.load(path, weights_only=True)
        changed['state_dict']['decode_head.conv_seg.bias'] += 1
        torch.save(changed, path)
    else:
        content[-1] ^= 1
        path.write_bytes(content)
    with pytest.raises(ValueError, match='its content has the hash .*, but its name says .*altered'):
        read_checkpoint(str(path))
    dated = tmp_path / 'training-20260101.pth'  # eight digits, but not published
    torch.save(torch.load(toy_checkpoint, weights_only=False), dated)
    read_checkpoint(str(dated))


class Bright(torch.nn.Module):
    """Logit 4 where the red of B three columns to the left is at least 250, and -4 elsewhere."""

    @staticmethod
    def data_preprocessor(data, training):
        return dict(inputs=torch.stack([image.float() for image in data['inputs']]))

    def forward(self, pairs):
        return torch.where(pairs[:, 3:4].roll(3, dims=3) >= 250, 4., -4.)


def test_calibration_on_a_split(tiny_pairs):
    found = calibrate_model(Bright(), str(tiny_pairs), 'val')
    # Two squares of 12 x 12 in 32 x 32: 9 of 12 columns are hit, 3 are missed and 3 are called changed in error.
    wrong = 2 * 12 * (3 + 3) / (2 * 32 * 32)
    assert found.f1_before == pytest.approx(9 / 12)
    assert found.temperature == pytest.approx(4 / math.log((1 - wrong) / wrong), rel=0.01)


def test_a_temperature_is_folded_into_the_last_layer(toy_checkpoint, tmp_path, monkeypatch):
    found = Calibration(temperature=2., threshold=0.6, nll_before=0.4, nll_after=0.2, f1_before=0.5, f1_after=0.7)
    asked = []
    monkeypatch.setattr('mamba_cd_plugin.export.publish.calibrate_model', lambda *args: asked.append(args[1:]) or found)
    plain = publish(str(toy_checkpoint), tmp_path / 'plain.pth')
    path = publish(str(toy_checkpoint), tmp_path / 'x.pth', calibration_data='somewhere', choose_threshold=True)
    again = publish(str(path), tmp_path / 'y.pth', calibration_data='somewhere', calibration_split='held_out')
    before, after, twice = (torch.load(file, weights_only=True) for file in (plain, path, again))
    assert asked == [('somewhere', 'val'), ('somewhere', 'held_out')]
    for name in ('decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'):
        torch.testing.assert_close(after['state_dict'][name], before['state_dict'][name] / 2)
    assert 'calibration' not in before['meta']
    assert after['meta']['calibration'] == found._asdict()
    assert twice['meta']['calibration']['temperature'] == 4.  # of the model as it was trained
    assert parse_config_text(before['meta']['cfg'], 'x').model.decode_head.threshold == 0.5
    assert parse_config_text(twice['meta']['cfg'], 'x').model.decode_head.threshold == 0.6


@pytest.mark.parametrize('suffix', FORMATS)
def test_half_precision_halves_the_file_and_predicts_nearly_the_same(toy_checkpoint, tmp_path, suffix):
    whole, half = (publish(str(toy_checkpoint), tmp_path / f'{half}{suffix}', half=half) for half in (False, True))
    assert half.stat().st_size < 0.65 * whole.stat().st_size
    stored = read_checkpoint(str(half))['state_dict']
    assert {value.dtype for value in stored.values() if value.dim() > 1} == {torch.float16}
    vectors = [value for value in stored.values() if value.is_floating_point() and value.dim() < 2]
    assert {value.dtype for value in vectors} == {torch.float32}
    pair = tuple(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    expected, found = (ChangeDetectionInferencer(path, device='cpu', show_progress=False)(pair)['predictions'][0]
                       for path in (whole, half))
    assert 0 < np.abs(expected['probability'] - found['probability']).mean() < 0.002
