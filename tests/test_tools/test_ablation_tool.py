"""tools/analysis_tools/ablation.py with real trainings at toy size, one of which cannot be built."""
import csv
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mamba_cd_plugin.synthetic import write_dataset

ROOT = Path(__file__).parents[2]
# Epochs of three steps of two pairs, without data workers.
TOY = """
_base_ = '{root}/configs/{name}.py'
channels = [16, 32, 64, 128]
model = dict(
    backbone=dict(arch='toy'), neck=dict(in_channels=channels),
    decode_head=dict(in_channels=channels, skip=dict(type='{skip}')))
data_root = 'scenes'
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.fixture
def ablation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Call the tool in a folder with two configs; gives its exit status."""
    monkeypatch.chdir(tmp_path)
    Path('good.py').write_text(TOY.format(root=ROOT, name='small/cdmamba_v5_small_synthetic', skip='TrunkSkip'))
    Path('bad.py').write_text(TOY.format(root=ROOT, name='cdmamba_v8_small_synthetic', skip='NoSuchSkip'))

    def call(*arguments: str) -> object:
        monkeypatch.setattr(sys, 'argv', ['ablation.py', *arguments])
        try:
            runpy.run_path(str(ROOT / 'tools/analysis_tools/ablation.py'), run_name='__main__')
        except SystemExit as ended:
            return ended.code
        return 0

    return call


def test_plan_training_table(ablation: Callable[..., object], capsys: pytest.CaptureFixture) -> None:
    write_dataset('scenes', 6, 6, 6, size=64, seed=3)  # of so few some hold a change
    arguments = ('bad.py', 'good.py', '--jobs', '2', '--minutes', '0.01', '--size', '64', '--seconds', '0',
                 '--pictures', '--cfg-options', 'log_level=WARNING')
    assert ablation(*arguments, '--dry-run') == 0
    assert not Path('work_dirs').exists()
    plan = capsys.readouterr().out
    assert '| bad    | 0    | training | work_dirs/ablation/bad_seed0' in plan
    assert '2 trials; every training gets 0.01 minutes' in plan

    assert ablation(*arguments) == 1  # one failed
    said = capsys.readouterr().out
    assert 'bad, seed 0: failed: KeyError: ' in said and 'NoSuchSkip' in said
    with open('work_dirs/ablation/ablation.csv', newline='') as file:
        bad, good = csv.DictReader(file)
    assert (bad['F1'], bad['parameters'], bad['seeds']) == ('', '', '0') and 'NoSuchSkip' in bad['errors']
    assert good['errors'] == '', good['errors']
    assert good['F1'] and good['protocol'] == 'whole' and float(good['epochs']) >= 1
    assert int(good['parameters']) > 100_000 and float(good['flops']) > 1e6 and float(good['seconds_per_pair']) > 0
    assert float(good['peak_mib']) > 100
    assert '| good | 1 |' in said and '**failed**' in said
    assert Path('work_dirs/ablation/ablation.png').stat().st_size > 5000
    assert len(list(Path('work_dirs/ablation/good_seed0/masks').glob('*.png'))) == 6
    assert Path('work_dirs/ablation/ablation_errors.png').stat().st_size > 5000

    Path('work_dirs/ablation/ablation_costs.png').unlink()
    assert ablation(*arguments, '--table', '--seeds', '0', '1') == 0
    said = capsys.readouterr().out
    assert 'Not finished, and not in the table: bad, seed 0; bad, seed 1; good, seed 1' in said
    with open('work_dirs/ablation/ablation.csv', newline='') as file:
        assert [row['config'] for row in csv.DictReader(file)] == ['good']
    assert Path('work_dirs/ablation/ablation_costs.png').exists()
    assert not Path('work_dirs/ablation/good_seed1').exists()

    assert ablation(*arguments, '--dry-run') == 0
    plan = capsys.readouterr().out
    assert 'finished' in plan and 'training; failed before: KeyError' in plan


def test_what_is_wrong_is_said_in_a_line(ablation: Callable[..., object]) -> None:
    assert 'config missing.py does not exist' in str(ablation('missing.py'))
    assert '--table: none of the 1 trials is finished in work_dirs' in str(ablation('good.py', '--table'))
    assert str(ablation('good.py', '--jobs', '0')).startswith('error: --jobs must be 1 or more')
