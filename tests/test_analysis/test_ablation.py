"""Plan, execution and report of an ablation, with stand-ins for tools/train.py and tools/test.py that take a moment."""
import csv
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import pytest
import torch
from mmengine.config import Config

from mamba_cd_plugin.analysis.ablation.execute import STOPPED, Subprocesses, last_words, run_all
from mamba_cd_plugin.analysis.ablation.plan import Outcome, Trial, make_plan, read_outcome, write_config
from mamba_cd_plugin.analysis.ablation.scatter import draw_costs, drawable_rows
from mamba_cd_plugin.analysis.ablation.table import (
    Row,
    ablation_markdown,
    sample_deviation,
    summarise_trials,
    write_ablation,
)
from mamba_cd_plugin.analysis.complexity import ModelCost
from mamba_cd_plugin.analysis.timing import Timing

CONFIG = """
model = dict(type='Toy')
train_cfg = dict(max_epochs=3, by_epoch=True)
default_hooks = dict(param_scheduler=dict(type='ParamSchedulerHook'))
data_root = '{{$MAMBA_CD_DATA:data/toy}}'
"""
TRAIN = """
import os, pathlib, shutil, sys
config, folder = sys.argv[1], pathlib.Path(sys.argv[3])
with open(folder / 'calls.txt', 'a') as file:
    print('train', *sys.argv[4:], os.environ.get('OMP_NUM_THREADS'), file=file)
if 'broken' in config and not os.path.exists('mended'):
    (folder / 'epoch_1.pth').touch()
    (folder / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    raise KeyError('no part of that name')
shutil.copy('trained.pth', folder / 'epoch_3.pth')
(folder / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
(folder / 'best_changed_F1_epoch_2.pth').touch()
(folder / 'best_changed_F1.pth').touch()
(folder / 'best_OA.pth').touch()
"""
# F1 is 0.6 for seed 0 and 0.8 for seed 1, on whole images; a tenth less on tiles.
TEST = """
import json, pathlib, sys
config, checkpoint, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[4])
with open(folder.parent / 'calls.txt', 'a') as file:
    print('test', pathlib.Path(checkpoint).name, *sys.argv[5:], file=file)
f1 = 0.8 if 'seed=1' in open(config).read() else 0.6
(folder / 'now').mkdir(parents=True)
scores = dict(F1=f1, IoU=0.5, precision=0.4, recall=0.3)
metrics = {f'{where}/changed_{name}': value - less for where, less in (('whole', 0), ('tiles256', 0.1))
           for name, value in scores.items()}
(folder / 'now/now.json').write_text(json.dumps(dict(metrics, time=0.1, data_time=0.1)))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three configs and the two tools."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('MAMBA_CD_DATA', raising=False)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    for name in ('first', 'broken', 'second'):
        Path(f'{name}.py').write_text(CONFIG)
    Path('tools').mkdir()
    Path('tools/train.py').write_text(TRAIN)
    Path('tools/test.py').write_text(TEST)
    torch.save(dict(meta=dict(epoch=3, iter=174)), 'trained.pth')
    return tmp_path


@pytest.fixture
def plan(here: Path) -> Callable[..., list[Trial]]:
    """The plan for some of the configs."""

    def make(*names: str, seeds: tuple = (0, 1), **kwargs: object) -> list[Trial]:
        return make_plan([f'{name}.py' for name in names], seeds, Path('out'), **kwargs)

    return make


def calls(run: Trial) -> list[str]:
    """What was run for it, a line each."""
    return (run.folder / 'calls.txt').read_text().splitlines()


def test_plan(plan: Callable[..., list[Trial]]) -> None:
    runs = plan('first', 'second', options={'train_cfg.max_epochs': 7}, minutes=2.5)
    assert [run.title for run in runs] == ['first, seed 0', 'second, seed 0', 'first, seed 1', 'second, seed 1']
    assert [str(run.folder) for run in runs[:2]] == ['out/first_seed0', 'out/second_seed0']
    assert runs[3].cfg.randomness.seed == 1 and runs[3].cfg.train_cfg.max_epochs == 7
    assert runs[3].cfg.default_hooks.param_scheduler == dict(type='TimeBudgetHook', minutes=2.5)
    assert plan('first')[0].cfg.default_hooks.param_scheduler == dict(type='ParamSchedulerHook')


def test_all_are_trained_as_one_config_is(plan: Callable[..., list[Trial]]) -> None:
    Path('recipe.py').write_text(CONFIG.replace("'Toy'", "'Other'").replace('max_epochs=3', 'max_epochs=9'))
    Path('second.py').write_text(CONFIG.replace("'Toy'", "'Second'") + 'find_unused_parameters = True')
    first, second = plan('first', 'second', seeds=(0, ), recipe='recipe.py', minutes=2, clock='cpu')
    assert [(run.name, run.cfg.model.type, run.cfg.find_unused_parameters, run.cfg.train_cfg.max_epochs)
            for run in (first, second)] == [('first', 'Toy', False, 9), ('second', 'Second', True, 9)]
    assert second.cfg.default_hooks.param_scheduler == dict(type='TimeBudgetHook', minutes=2, clock='cpu')


def test_a_model_of_the_users_package_is_imported_where_it_is_trained(plan: Callable[..., list[Trial]]) -> None:
    """A process of its own reads the config that is written, in which only the model is the user's."""
    imports = "custom_imports = dict(imports={}, allow_failed_imports=False)"
    Path('recipe.py').write_text(CONFIG + imports.format(['mamba_cd_plugin.registration']))
    Path('first.py').write_text(CONFIG + imports.format(['mamba_cd_plugin.registration', 'wave']))
    trial, = plan('first', seeds=(0, ), recipe='recipe.py')
    write_config(trial)
    assert Config.fromfile(trial.config_file).custom_imports == dict(
        imports=['mamba_cd_plugin.registration', 'wave'], allow_failed_imports=False)


SCHEDULE = """
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
    dict(type='MultiStepLR', milestones=[1, 2], gamma=0.1),
    dict(type='ReduceOnPlateauLR', monitor='changed_F1', patience=15),
]
optim_wrapper = dict(type='OptimWrapper')
"""


def test_equal_epochs_come_with_a_schedule_of_that_length(plan: Callable[..., list[Trial]],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mamba_cd_plugin.engine.precision.choose_amp', lambda name: 'bf16')
    Path('first.py').write_text(CONFIG + SCHEDULE)
    cfg = plan('first', epochs=12, amp='auto')[0].cfg
    warm_up, cosine, steps, plateau = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == 12
    assert (warm_up.begin, warm_up.end) == (0, 50)  # in steps
    assert (cosine.T_max, cosine.begin, cosine.end) == (12, 0, 12) and steps.milestones == [4, 8]
    assert plateau.patience == 15  # no part of the training's length
    assert cfg.optim_wrapper == dict(type='AutocastOptimWrapper', dtype='bfloat16')
    Path('second.py').write_text(CONFIG.replace('max_epochs=3, by_epoch=True', 'max_iters=900'))
    with pytest.raises(ValueError, match='second: 12 epochs cannot be set; expected .* a config with '
                                         'train_cfg.max_epochs, which is None'):
        plan('second', epochs=12)


def test_all_can_be_trained_with_the_loss_of_one(plan: Callable[..., list[Trial]]) -> None:
    def model(head: str) -> str:
        return CONFIG + f'model = dict(type="Toy", decode_head={head})'

    Path('recipe.py').write_text(model('dict(loss_decode=dict(a=dict(type="A", loss_weight=2), b=dict(type="B")))'))
    Path('first.py').write_text(model('dict(loss_edge=3, loss_decode=dict(c=dict(type="C")))'))
    Path('second.py').write_text(model('dict(loss_decode=dict(type="C"))'))
    first, second = plan('first', 'second', seeds=(0, ), recipe='recipe.py', same_loss=True)
    assert first.cfg.model.decode_head == dict(loss_edge=3, loss_decode=dict(
        a=dict(type='A', loss_weight=2), b=dict(type='B')))
    assert second.cfg.model.decode_head.loss_decode == [  # a head of mmseg takes no names
        dict(type='A', loss_weight=2, _scope_='mmseg'), dict(type='B', _scope_='mmseg')]
    own = plan('second', seeds=(0, ), recipe='recipe.py')[0]
    assert own.cfg.model.decode_head.loss_decode == dict(type='C')
    with pytest.raises(ValueError, match=r'^--same-loss: \S*second\.py has no losses with names'):
        plan('first', seeds=(0, ), recipe='second.py', same_loss=True)


def test_plan_refuses_what_cannot_work(plan: Callable[..., list[Trial]], here: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'config third\.py does not exist'):
        plan('first', 'third')
    with pytest.raises(KeyError, match='train_config'):
        plan('first', options={'train_config.max_epochs': 1})
    with pytest.raises(ValueError, match='seeds 4 occur more than once'):
        plan('first', seeds=(4, 4))
    Path('a').mkdir()
    Path('a/first.py').write_text(CONFIG)
    with pytest.raises(ValueError, match='configs named first occur more than once'):
        plan('first', 'a/first')


def test_one_fails_and_the_others_go_on(plan: Callable[..., list[Trial]], here: Path) -> None:
    runs = plan('first', 'broken', 'second', seeds=(0, ))
    first, broken, second = run_all(runs, here / 'tools', pictures=True)
    assert (first.status, broken.status, second.status) == ('done', 'failed', 'done')
    assert broken.error == "KeyError: 'no part of that name'"
    assert first.scores['whole'] == pytest.approx(
        dict(changed_F1=0.6, changed_IoU=0.5, changed_precision=0.4, changed_recall=0.3))
    assert first.scores['tiles256']['changed_F1'] == pytest.approx(0.5)
    assert (first.epochs, first.steps) == (3, 174)
    assert first.seconds > 0 and first.cpu_seconds > 0 and 1 < first.peak_mib < 10_000
    assert calls(runs[0]) == ['train None', f'test best_changed_F1.pth --show-dir {runs[0].folder / "pictures"} '
                              f'--out {runs[0].folder / "masks"}']
    assert 'no part of that name' in (runs[1].folder / 'train.log').read_text()


@pytest.mark.parametrize(('minutes', 'steps'), [(None, 44), (5, 43)])
def test_accumulated_gradients_make_fewer_steps(plan: Callable[..., list[Trial]], here: Path, minutes: float | None,
                                                steps: int) -> None:
    """174 batches are 43 steps of four, and two that make a step only where the end is known."""
    with open('first.py', 'a') as file:
        file.write("optim_wrapper = dict(type='OptimWrapper', accumulative_counts=4)\n")
    outcome, = run_all(plan('first', seeds=(0, ), minutes=minutes), here / 'tools')
    assert outcome.steps == steps


def test_a_second_call_does_only_what_is_missing(plan: Callable[..., list[Trial]], here: Path) -> None:
    runs = plan('first', 'broken', seeds=(0, ))
    run_all(runs, here / 'tools')
    Path('mended').touch()
    outcomes = run_all(plan('first', 'broken', seeds=(0, )), here / 'tools')
    assert [outcome.status for outcome in outcomes] == ['done', 'done']
    assert outcomes[1].error == '' and outcomes[1] == read_outcome(runs[1])
    assert calls(runs[0]) == ['train None', 'test best_changed_F1.pth']
    assert calls(runs[1]) == ['train None', 'train --resume None', 'test best_changed_F1.pth']


def test_what_was_trained_is_only_tested(plan: Callable[..., list[Trial]], here: Path) -> None:
    tester = (here / 'tools/test.py').read_text()
    (here / 'tools/test.py').write_text('raise OSError("disk full")')
    runs = plan('first', seeds=(0, ))
    run_all(runs, here / 'tools')
    assert read_outcome(runs[0]).error == 'OSError: disk full'
    (here / 'tools/test.py').write_text(tester)
    run_all(runs, here / 'tools')
    assert calls(runs[0]) == ['train None', 'test best_changed_F1.pth']


def test_jobs_share_the_cores(plan: Callable[..., list[Trial]], here: Path) -> None:
    runs = plan('first', 'second', seeds=(0, ))
    run_all(runs, here / 'tools', jobs=1000)
    assert [calls(run)[0] for run in runs] == ['train 1', 'train 1']


def test_a_folder_of_other_settings_is_refused(plan: Callable[..., list[Trial]], here: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    run_all(plan('first'), here / 'tools')
    assert len(plan('first')) == 2
    with pytest.raises(ValueError, match=r'out/first_seed0 holds a trial with other settings: '
                       r'train_cfg.max_epochs was 3 and is now 4\. Choose another --work-dir'):
        plan('first', options={'train_cfg.max_epochs': 4})
    monkeypatch.setenv('MAMBA_CD_DATA', 'other')
    with pytest.raises(ValueError, match='data_root was data/toy and is now other'):
        plan('first')


def test_a_stop_ends_what_runs(tmp_path: Path) -> None:
    subprocesses = Subprocesses()
    ended = []
    thread = threading.Thread(target=lambda: ended.append(
        subprocesses.run([sys.executable, '-c', 'print("up", flush=True); import time; time.sleep(600)'],
                         tmp_path / 'log')))
    thread.start()
    deadline = time.monotonic() + 60
    while not ((tmp_path / 'log').is_file() and (tmp_path / 'log').read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    subprocesses.stop()
    thread.join(60)
    assert [end.error for end in ended] == [STOPPED]
    assert subprocesses.run([sys.executable, '-c', '1/0'], tmp_path / 'log').error == STOPPED


@pytest.mark.parametrize(('lines', 'status', 'expected'), [
    (['Traceback:', '  File "x"', 'some.errors.FooError: bad', 'look here', ''], 1, 'some.errors.FooError: bad'),
    (['ValueError: first', 'During handling', 'RuntimeError: second'], 1, 'RuntimeError: second'),
    (['usage: train.py', 'train.py: error: unknown option'], 2, 'train.py: error: unknown option'),
    ([], 3, 'exit status 3 without output'),
    (['loss 0.3'], -9, 'killed by signal 9; out of memory?'),
])
def test_last_words(lines: list[str], status: int, expected: str) -> None:
    assert last_words(lines, status) == expected


def test_spread() -> None:
    # Each is 0.1 from the mean; divided by n - 1 = 1.
    assert sample_deviation([0.6, 0.8]) == pytest.approx(0.1 * math.sqrt(2))
    assert sample_deviation([0.6]) is None


@pytest.fixture
def rows(plan: Callable[..., list[Trial]], here: Path) -> list[Row]:
    """Of an ablation in which one config failed."""
    runs = plan('first', 'broken')
    outcomes = run_all(runs, here / 'tools')
    for outcome in outcomes:
        outcome.seconds, outcome.cpu_seconds, outcome.peak_mib = 90., 60., 512.
    rows = summarise_trials(runs, outcomes)
    rows[0].cost = ModelCost(256, 2_500_000, 3_000_000_000, Timing(0.25, 0.2, 0.3, 0.2, 9))
    return rows


def test_table(rows: list[Row]) -> None:
    lines = ablation_markdown(rows, ['Said so.']).splitlines()
    assert lines[2] == 'Said so.'
    assert [line for line in lines if line[:3] == '## '] == ['## Tested on whole', '## Tested on tiles256', '## Failed']
    costs = '2.50 | 3.00 | 0.250 | 512 | 3 | 174 | 1.5 | 1.0'
    assert f'| first | 2 | 70.00 ± 14.14 | 50.00 | 40.00 | 30.00 | {costs} |' in lines
    assert f'| first | 2 | 60.00 ± 14.14 | 40.00 | 30.00 | 20.00 | {costs} |' in lines
    assert '| broken | 0 | **failed** |  |  |  |  |  |  | 512 |  |  |  |  |' in lines
    assert "- broken, seed 1: KeyError: 'no part of that name'" in lines


def test_files(rows: list[Row], tmp_path: Path) -> None:
    _, table, picture = write_ablation(rows, [], tmp_path)
    with table.open(newline='') as file:
        records = list(csv.DictReader(file))
    assert [(record['config'], record['protocol']) for record in records] == [
        ('first', 'whole'), ('broken', 'whole'), ('first', 'tiles256'), ('broken', 'tiles256')]
    assert float(records[0]['F1']) == pytest.approx(0.7) and records[0]['F1_of_seeds'] == '0:0.6000 1:0.8000'
    assert records[0]['parameters'] == '2500000' and records[1]['parameters'] == ''
    assert records[1]['errors'].startswith("seed 0: KeyError: 'no part of that name'; seed 1: ")
    pixels = matplotlib.image.imread(picture)
    bar = (abs(pixels[..., :3] - [0x56 / 255, 0xB4 / 255, 0xE9 / 255]) < 0.01).all(-1)
    # The bar reaches 70 % of the axis from 0 to 100, of which 110 are drawn.
    assert bar.any() and 0.3 < bar.any(0).mean() < 0.7


def test_costs_are_drawn_where_they_are_known(rows: list[Row], tmp_path: Path) -> None:
    assert [row.name for row in drawable_rows(rows)] == ['first']
    draw_costs(rows, tmp_path / 'costs.png')
    blue = matplotlib.image.imread(tmp_path / 'costs.png')[..., :3]
    columns = (abs(blue - [0, 0x72 / 255, 0xB2 / 255]) < 0.01).all(-1).any(0)
    starts = columns[1:] & ~columns[:-1]
    assert starts.sum() == 3  # a mark in each of the two panels, and one in the legend
    rows[0].cost = None
    assert drawable_rows(rows) == []


def test_nothing_finished_is_a_table_too(plan: Callable[..., list[Trial]], tmp_path: Path) -> None:
    rows = summarise_trials(plan('first', seeds=(0, )), [Outcome(status='failed', error='OSError: no')])
    text = write_ablation(rows, [], tmp_path)[0].read_text()
    assert '| first | 0 | **failed** |' in text and '- first, seed 0: OSError: no' in text
