import pytest
import torch

from mamba_cd_plugin.engine.config_text import parse_config_text
from mamba_cd_plugin.export.publish import publish
from mamba_cd_plugin.inference.models import file_hash, read_checkpoint


def test_published_file(toy_checkpoint, tmp_path):
    path = publish(str(toy_checkpoint), tmp_path / 'models' / 'cdmamba.pth', metrics=dict(test_changed_F1=0.9))
    assert path.name == f'cdmamba-{file_hash(path)}.pth'
    assert list(path.parent.iterdir()) == [path]
    content = torch.load(path, weights_only=True)
    assert set(content) == {'meta', 'state_dict'}
    meta = content['meta']
    assert meta['metrics'] == dict(changed_F1=0.75, test_changed_F1=0.9)  # the last validation's, and no times
    assert meta['dataset_meta']['classes'] == ('unchanged', 'changed')
    cfg = parse_config_text(meta['cfg'], 'x')
    assert cfg.model.backbone.arch == 'toy'
    assert 'data' not in meta['cfg'].replace('data_preprocessor', '')  # no path of the machine
    before = torch.load(toy_checkpoint, weights_only=False)['state_dict']
    assert all(torch.equal(content['state_dict'][key], before[key]) for key in before)


def test_same_checkpoint_gives_the_same_file(toy_checkpoint, tmp_path):
    one, two = (publish(str(toy_checkpoint), tmp_path / name / 'x.pth') for name in '12')
    assert one.name == two.name
    assert publish(str(one), tmp_path / '3' / 'x.pth').name == one.name  # nothing is lost by publishing again


def test_altered_file_is_noticed(toy_checkpoint, tmp_path):
    path = publish(str(toy_checkpoint), tmp_path / 'x.pth')
    content = torch.load(path, weights_only=True)
    content['state_dict']['decode_head.conv_seg.bias'] += 1
    torch.save(content, path)
    with pytest.raises(ValueError, match='its content has the hash .*, but its name says .*altered'):
        read_checkpoint(str(path))
    dated = tmp_path / 'training-20260101.pth'  # eight digits, but not published
    torch.save(torch.load(toy_checkpoint, weights_only=False), dated)
    read_checkpoint(str(dated))
