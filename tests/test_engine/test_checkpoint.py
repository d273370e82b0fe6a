"""No checkpoint can run code: not by its pickle, not by the config text inside, not by what that text builds."""
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mamba_cd_plugin.engine import checkpoint
from mamba_cd_plugin.engine.config_text import is_registered, parse_config_text, untrusted_model_config

pytestmark = pytest.mark.filterwarnings(
    'ignore:.* has been created, the method', 'ignore:Detected pickle protocol',
    "ignore:'torch.load' received a zip file")


class Command:
    """Pickled, it is a call of os.system."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}', )


class GetAttr(Command):
    """Pickled, it goes through getattr, which HistoryBuffers need, to what is reachable from an allowed type."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.fixture
def marker(tmp_path):
    """What the malicious code would create; every test ends with the proof that it did not."""
    path = tmp_path / 'it ran'
    yield path
    assert not path.exists()


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


def test_training_checkpoint_of_mmengine_is_read(tmp_path):
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    content = dict(state_dict=dict(x=torch.ones(2)), message_hub=dict(log_scalars={'val/F1': history}),
                   meta=dict(seed=np.int64(3), score=np.float32(0.5)))
    torch.save(content, tmp_path / 'x.pth')
    read = load(tmp_path / 'x.pth')
    assert read['message_hub']['log_scalars']['val/F1'].mean() == 0.375
    assert read['meta'] == dict(seed=3, score=0.5)


@pytest.mark.parametrize('form', ['zip', 'legacy', 'plain pickle', 'torchscript'])
@pytest.mark.parametrize('attack', [Command, GetAttr])
def test_pickle_that_would_run_a_command_is_refused(tmp_path, marker, form, attack):
    path = tmp_path / 'evil.pth'
    content = dict(state_dict=dict(x=torch.ones(2)), meta=attack(str(marker)))
    if form == 'plain pickle':
        path.write_bytes(pickle.dumps(dict(meta=attack(str(marker)))))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form != 'legacy')
    if form == 'torchscript':  # torch.load sends such an archive elsewhere
        with zipfile.ZipFile(path, 'a') as archive:
            archive.writestr('evil/constants.pkl', b'')
    with pytest.raises(ValueError, match='checkpoint .*evil.pth was refused'):
        load(path)


def test_the_customary_environment_variable_opens_no_door(tmp_path, marker, monkeypatch):
    monkeypatch.setenv(checkpoint.FORCE_UNSAFE, '1')
    torch.save(dict(meta=Command(str(marker))), tmp_path / 'evil.pth')
    torch.save(dict(state_dict=dict(x=torch.ones(2))), tmp_path / 'good.pth')
    with pytest.raises(ValueError, match='evil.pth was refused: Weights only load failed'):
        load(tmp_path / 'evil.pth')
    assert load(tmp_path / 'good.pth')['state_dict']['x'].sum() == 2
    assert os.environ[checkpoint.FORCE_UNSAFE] == '1'


@pytest.mark.parametrize('content', [b'', b'text', b'PK\x03\x04 half a zip'])
def test_file_that_is_no_checkpoint(tmp_path, content):
    path = tmp_path / 'x.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='x.pth was refused: .*truncated or no checkpoint'):
        load(path)
    with pytest.raises(FileNotFoundError, match='none.pth does not exist'):
        load(tmp_path / 'none.pth')


def test_truncated_checkpoint(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save(dict(state_dict=dict(x=torch.ones(1000))), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match='was refused'):
        load(path)


def test_trust_is_given_by_a_flag_only(tmp_path, monkeypatch):
    path = tmp_path / 'x.pth'
    torch.save(dict(meta=Command(str(tmp_path / 'ran'))), path)
    monkeypatch.setattr(checkpoint, '_trusted', False)
    checkpoint.trust_checkpoints()
    load(path)
    assert (tmp_path / 'ran').exists()
    checkpoint.trust_checkpoints(False)
    with pytest.raises(ValueError, match='pass --trust-checkpoint'):
        load(path)


@pytest.mark.parametrize('prefix', [
    'http://', 'https://', 'modelzoo://', 'torchvision://', 'open-mmlab://', 'openmmlab://', 'mmcls://', 'pavi://',
    's3://', 'petrel://'])
def test_downloaded_checkpoints_are_read_as_data_too(prefix):
    loader = CheckpointLoader._get_checkpoint_loader(f'{prefix}x.pth')
    assert loader.__wrapped__.__module__ == 'mmengine.runner.checkpoint'


def test_download_through_torch_hub(tmp_path, marker, monkeypatch):
    # torch.hub calls torch.load without weights_only; a file address stands for the download.
    path = tmp_path / 'evil-download.pth'
    torch.save(dict(meta=Command(str(marker))), path)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    original = CheckpointLoader._get_checkpoint_loader('https://x').__wrapped__
    with pytest.raises(ValueError, match='was refused'):
        checkpoint._safely(original)(path.as_uri(), 'cpu')
    assert checkpoint.FORCE_SAFE not in os.environ


class Tiny(nn.Module):
    """A model of mmengine's interface."""

    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.ones(2))

    def forward(self, *args, **kwargs):
        return dict(loss=self.x.sum())


@pytest.fixture
def runner(tmp_path):
    return Runner(Tiny(), str(tmp_path / 'work'), experiment_name='tiny', default_scope='mmengine')


@pytest.mark.parametrize('entry', ['load_checkpoint', 'resume'])
def test_runner_refuses_what_would_run(tmp_path, marker, runner, entry):
    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=dict(x=torch.ones(2)), meta=Command(str(marker))), path)
    with pytest.raises(ValueError, match='evil.pth was refused'):
        getattr(runner, entry)(str(path))
    # Runner.resume runs the text under meta['config'] as Python.
    text = f'import os\nos.system("touch \'{marker}\'")'
    torch.save(dict(state_dict=dict(x=torch.ones(2)), meta=dict(config=text, epoch=1, iter=1)), path)
    with pytest.raises(ValueError, match='line 1 is a Import, not an assignment'):
        getattr(runner, entry)(str(path))


@pytest.mark.parametrize('text', [
    '__import__("os").system("touch {marker}")',
    'x = __import__("os").system("touch {marker}")',
    'x = dict(y=[open("{marker}", "w")])',
    'import os',
    'x = dict.__class__',
    'x = [y for y in ().__class__.__base__.__subclasses__()]',
    'x = (lambda: 0)()',
    'x = f"{marker}"',
    'x: int = 3',
    'x.y = 3',
    'x, y = 1, 2',
    'x = dict(dict, y=1)',
    'x = dict(1, 2)',
    'x = dict([(1, 2)])',
    'x = {**y}',
    'x = dict(**y)',
    'def f(): pass',
    'x = (',
    'x = ' + '(' * 5000,
    'x = ' + '-' * 50000 + '1',
])
def test_config_text_that_is_more_than_data_is_refused(marker, text):
    with pytest.raises(ValueError, match='evil.pth: the config text inside was refused'):
        parse_config_text(text.replace('{marker}', str(marker)), 'evil.pth')


def test_config_text_of_mmengine_is_read_as_it_was(toy_config):
    cfg = toy_config('cdmamba_v8_levircd.py')
    cfg.extra = {'a.b': -1.5, 'c': None, 'd': (True, 'ü\n'), 1: [1e-8, {}]}
    assert parse_config_text(cfg.pretty_text, 'x') == Config(cfg.to_dict())._cfg_dict


@pytest.mark.parametrize('part, message', [
    (dict(type='subprocess.Popen', args='touch {marker}', shell=True), "asks for 'subprocess.Popen'"),
    (dict(type='os.system'), "asks for 'os.system'"),
    (dict(type='antigravity'), "asks for 'antigravity'"),
    (dict(type='mmseg.os.system'), "asks for 'mmseg.os.system'"),
    (dict(type='VSSBlock', _scope_='evil'), "the scope 'evil'"),
    (dict(type='CrossEntropyLoss', class_weight='weights.pkl'), "names the file class_weight = 'weights.pkl'"),
    (dict(type='CrossEntropyLoss', class_weight='http://evil/weights.json'), 'names the file class_weight'),
])
def test_config_that_would_build_or_read_something_else_is_refused(marker, part, message):
    part = {key: str(value).replace('{marker}', str(marker)) for key, value in part.items()}
    cfg = Config(dict(model=dict(type='EncoderDecoder', backbone=[dict(x=part)])))
    with pytest.raises(ValueError, match=f'evil.pth: the config text inside .*{message}'):
        untrusted_model_config(cfg._cfg_dict, 'evil.pth')


def test_model_of_our_own_configs_is_accepted_without_its_pretrained_weights(toy_config):
    cfg = toy_config('cdmamba_v8_levircd.py')
    expected = cfg.model.to_dict()
    cfg.model.pretrained = '/home/me/x.pth'
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='/home/me/x.pth')
    assert untrusted_model_config(cfg._cfg_dict, 'x') == expected
    with pytest.raises(ValueError, match="x: the config text inside has no 'model'"):
        untrusted_model_config(Config(dict(modle=dict()))._cfg_dict, 'x')


@pytest.mark.parametrize('name, known', [
    ('VSSBlock', True), ('mmseg.LN2d', True), ('EncoderDecoder', True), ('mmseg.BN', False), ('mmengine.BN', True),
    ('BN', True), ('mmengine.os', False), ('torch.nn.Linear', False), ('', False), ('os', False)])
def test_registered(name, known):
    assert is_registered(name) is known
