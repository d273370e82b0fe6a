"""Packaged weights: found by name everywhere, with cards that are true, and as a release folder."""
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from mamba_cd_plugin import ChangeDetectionInferencer, get_model
from mamba_cd_plugin.cli import main
from mamba_cd_plugin.engine.checkpoint import load_safely, use_safe_loaders
from mamba_cd_plugin.engine.weights import fit_weights
from mamba_cd_plugin.export.cards import write_release
from mamba_cd_plugin.export.publish import publish
from mamba_cd_plugin.inference.checkpoints import load_model
from mamba_cd_plugin.zoo import Card, Score, describe_weights, list_weights, read_card, resolve_checkpoint

FIELDS = dict(
    config='cdmamba_v8_levircd', trained_on='nothing', datasets=['generated-scenes'], recipe='mamba-cd train x',
    commit='0123abc', good_for='Tests.', limits='Everything else.', licence='academic use only', terms='Ask first.',
    scores=[dict(data='LEVIR-CD val, 235 crops', protocol='256 x 256 tiles', F1=45.25, recall=50.),
            dict(data='generated scenes', protocol='whole images', F1=80.)])
LARGEST = 8_000_000  # bytes of a file that everybody downloads with the package


@pytest.fixture
def packaged(tmp_path: Path, toy_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packaged weights with the toy V8 of half precision in it, called toy."""
    folder = tmp_path / 'weights'
    monkeypatch.setattr('mamba_cd_plugin.zoo.WEIGHTS', folder)
    (tmp_path / 'fields.json').write_text(json.dumps(FIELDS))
    main(['publish', str(toy_checkpoint), str(folder / 'toy.safetensors'), '--half', '--card',
          str(tmp_path / 'fields.json')])
    return folder


def test_publish_writes_a_card_that_agrees_with_the_file(packaged: Path) -> None:
    card, = list_weights().values()
    content = card.path.read_bytes()
    assert sorted(path.name for path in packaged.iterdir()) == sorted([card.file, 'toy.json'])
    assert (card.name, card.size, card.sha256) == ('toy', len(content), sha256(content).hexdigest())
    assert card.file == f'toy-{card.sha256[:8]}.safetensors'
    assert card.scores[0] == Score('LEVIR-CD val, 235 crops', '256 x 256 tiles', 45.25, None, 50.)
    assert card.limits == 'Everything else.' and resolve_checkpoint('toy') == str(card.path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the log about packaged weights."""
    lines: list[str] = []
    monkeypatch.setattr('mamba_cd_plugin.engine.checkpoint.print_log', lambda line, **_: lines.append(line))
    return lines


LICENCE = 'Licence of the weights: academic use only. Ask first.'
LAST = 'decode_head.conv_seg.weight'


def test_every_loader_takes_the_name_and_says_the_terms(packaged: Path, toy_config: Callable[[str], Config],
                                                        toy_checkpoint: Path, told: list[str]) -> None:
    expected = torch.load(toy_checkpoint, weights_only=False)['state_dict'][LAST].half().float()
    config = packaged.parent / 'config.py'
    toy_config('cdmamba_v8_levircd.py').dump(config)
    inferencer = ChangeDetectionInferencer('toy', device='cpu', show_progress=False)
    use_safe_loaders()
    found = [get_model(config, weights='toy').segmentor.state_dict()[LAST], inferencer.model.model.state_dict()[LAST],
             CheckpointLoader.load_checkpoint('toy', 'cpu')['state_dict'][LAST]]
    for weight in found:
        assert torch.equal(weight.float(), expected)
    assert told == ['weights toy, trained on nothing', 'Tests.', LICENCE] * len(found)
    load_safely(resolve_checkpoint('toy'))  # by its path, which whoever resolved it has described
    assert len(told) == 3 * len(found)


@pytest.mark.parametrize('command', [
    ['publish', 'toy', 'x.pth'], ['export', 'toy', 'x.onnx', '--config', 'no_such_config'],
    ['test', 'cdmamba_v8_levircd', 'toy', '--cfg-options', 'data_root=/does/not/exist'],
    ['train', 'cdmamba_v8_levircd', '--cfg-options', 'load_from=toy', 'data_root=/does/not/exist'],
], ids=lambda command: command[0])
def test_the_commands_say_the_terms_once(packaged: Path, told: list[str], monkeypatch: pytest.MonkeyPatch,
                                         command: list[str]) -> None:
    monkeypatch.chdir(packaged.parent)
    if command[0] == 'publish':
        main(command)
    else:
        with pytest.raises(SystemExit, match='error: .*(no_such_config|/does/not/exist)'):
            main(command)
    assert told.count(LICENCE) == 1


@pytest.mark.parametrize('words', [
    ['test', 'cdmamba_v8_levircd', 'no_such_file.pth', '--cfg-options'],
    ['train', 'cdmamba_v8_levircd', '--cfg-options', 'load_from=no_such_file.pth'],
], ids=lambda words: words[0])
def test_a_checkpoint_that_is_not_there_is_told_before_the_data_are_read(tmp_path: Path, words: list[str],
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='^error: checkpoint no_such_file.pth does not exist'):
        main([*words, 'data_root=/does/not/exist'])
    assert not any(tmp_path.iterdir())


def test_models_lists_them(packaged: Path, capsys: pytest.CaptureFixture) -> None:
    main(['models'])
    said = ' '.join(capsys.readouterr().out.replace('|', ' ').split())
    digits = list_weights()['toy'].sha256[:12]
    for text in ('nothing', '45.2 on LEVIR-CD val', '80.0 on generated scenes', digits, 'toy: Tests. Everything'):
        assert text in said, (text, said)
    main(['models', '--json'])
    shown = json.loads(capsys.readouterr().out)
    assert shown['toy']['scores'][1] == dict(data='generated scenes', protocol='whole images', F1=80., precision=None,
                                             recall=None)


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(licence=None), 'missing 1 required positional argument: .licence.'), (dict(lisence='x'), 'lisence'),
    (dict(terms=''), 'terms is empty'), (dict(scores=[]), 'scores is empty'),
    (dict(trained_on=3), 'trained_on: expected str, got int'), (dict(scores=[dict(data='x')]), 'protocol'),
    (dict(scores=[dict(data='x', protocol='y', F1=0.5 + 100)]), 'F1 in percent, got 100.5'),
    (dict(sha256='0' * 64), 'sha256 follow'), (dict(file='x', size=3), 'file, size follow from the weight file'),
])
def test_a_card_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, changes: dict, message: str) -> None:
    fields = {key: value for key, value in {**FIELDS, **changes}.items() if value is not None}
    path = tmp_path / 'fields.json'
    path.write_text(json.dumps(fields))
    with pytest.raises(SystemExit, match=f'error: .*fields.json: expected a JSON object with .*{message}'):
        main(['publish', 'no_checkpoint.pth', str(tmp_path / 'x.safetensors'), '--card', str(path)])


def test_a_card_without_its_file_or_with_another_checksum(packaged: Path, tmp_path: Path) -> None:
    card = list_weights()['toy']
    card.path.rename(card.path.with_suffix('.moved'))
    with pytest.raises(FileNotFoundError, match='weights toy: their file .*toy-.* is missing; install the package'):
        resolve_checkpoint('toy')
    assert resolve_checkpoint('work_dirs/other.pth') == 'work_dirs/other.pth'  # which it does not concern
    card.path.write_bytes(b'something else')
    with pytest.raises(ValueError, match='has the SHA-256 .*, but its card says'):
        write_release(card, tmp_path / 'release')
    assert not (tmp_path / 'release').exists()
    (packaged / 'toy.json').write_text('[1]')
    with pytest.raises(ValueError, match='toy.json: expected a JSON object with exactly the keys file, size, sha256'):
        list_weights()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_release_is_read_back(packaged: Path, tmp_path: Path, suffix: str) -> None:
    card = list_weights()['toy']
    if suffix == '.pth':
        path = publish(str(card.path), packaged / 'toy.pth', half=True)
        card = card._replace(file=path.name, sha256=sha256(path.read_bytes()).hexdigest())
    folder = write_release(card, tmp_path / 'release')
    assert sorted(path.name for path in folder.glob('[!.]*')) == ['README.md', 'config.json', 'model.safetensors']
    assert sha256((folder / 'model.safetensors').read_bytes()).hexdigest() == list_weights()['toy'].sha256
    pair = tuple(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    masks = [ChangeDetectionInferencer(file, device='cpu', show_progress=False)(pair)['predictions'][0]['probability']
             for file in (card.path, folder / 'model.safetensors')]
    assert np.array_equal(*masks)
    config = json.loads((folder / 'config.json').read_text('utf-8'))
    assert config['classes'] == ['unchanged', 'changed'] and config['threshold'] == 0.5
    assert load_model(Config(dict(model=config['model'])), str(folder / 'model.safetensors')).threshold == 0.5
    _, block, text = (folder / 'README.md').read_text('utf-8').split('---\n', 2)
    meta = yaml.safe_load(block)
    assert (meta['license'], meta['license_name']) == ('other', 'academic-use-only')
    assert meta['datasets'] == ['generated-scenes'] and 'f1' in meta['metrics'] and 'change-detection' in meta['tags']
    first, second = meta['model-index'][0]['results']
    assert first['metrics'] == [dict(type='f1', name='F1 of the changed class, %', value=45.25),
                                dict(type='recall', name='recall of the changed class, %', value=50.)]
    assert second['dataset']['name'] == 'generated scenes, whole images'
    for part in ('Everything else.', 'Ask first.', 'mamba-cd train x', '0123abc', '| 45.2 |  | 50.0 |'):
        assert part in text, part
    write_release(card, folder)  # ours may be replaced
    (folder / 'README.md').write_text('my own words')
    with pytest.raises(FileExistsError, match='README.md would be overwritten, which was changed'):
        write_release(card, folder)


CARDS = sorted((Path(__file__).parents[2] / 'mamba_cd_plugin/weights').glob('*.json'))


@pytest.mark.parametrize('path', CARDS, ids=lambda path: path.stem)
def test_the_cards_of_the_package_are_true(path: Path) -> None:
    card: Card = read_card(path)
    content = card.path.read_bytes()
    assert len(content) == card.size < LARGEST and sha256(content).hexdigest() == card.sha256
    assert card.file == f'{card.name}-{card.sha256[:8]}{card.path.suffix}'
    model = get_model(card.config)
    fit = fit_weights(model.segmentor, load_safely(str(card.path))['state_dict'])
    assert fit.complete, fit.difference()
    threshold = load_model(Config(), str(card.path)).threshold  # by the config in the file alone
    assert 0 < threshold < 1
    assert describe_weights(str(card.path))[-1] == f'Licence of the weights: {card.licence}. {card.terms}'
    if 'levir' in ' '.join(card.datasets).lower():
        assert 'academic' in f'{card.licence} {card.terms}'


def test_no_weight_file_of_the_package_lacks_a_card() -> None:
    files = {path.name for suffix in ('pth', 'safetensors') for path in CARDS[0].parent.glob(f'*.{suffix}')} \
        if CARDS else set()
    assert files == {read_card(path).file for path in CARDS}
