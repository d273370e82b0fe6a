"""The page as a whole: its numbers against mmengine's own test run and plain numpy, its text as HTML."""
import json
import re
import runpy
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mamba_cd_plugin.analysis.complexity import ModelCost
from mamba_cd_plugin.analysis.timing import Timing
from mamba_cd_plugin.report.charts import iterations_per_epoch, to_inline_svg
from mamba_cd_plugin.report.runs import evaluate, load_run_model, open_run
from mamba_cd_plugin.report.tables import costs_table, escape

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/report.py'
VOID = {'meta', 'img', 'br', 'hr', 'link', 'input'}


class Page(HTMLParser):
    """Checks that every tag is closed, and collects what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: dict[str, list[str]] = {'id': [], 'href': [], 'src': []}
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        for key, value in attrs:
            if key in self.attributes:
                self.attributes[key].append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope='module')
def work_dirs(make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp('runs')
    return [make_run('cdmamba_v6_1_levircd.py', root / 'v6_1'), make_run('cdmamba_v8_levircd.py', root / 'v8', seed=1)]


@pytest.fixture(scope='module')
def report(work_dirs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of both runs, made by the tool."""
    out = tmp_path_factory.mktemp('report') / 'both'
    run_tool(*work_dirs, '--out', out, '--names', 'V6.1', 'V8 & <co>', '--panels', 2, '--maps', 2, '--no-speed',
             '--resamples', 300, '--device', 'cpu')
    return out


def run_tool(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['report.py', *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')


@pytest.fixture(scope='module')
def numbers(report: Path) -> dict:
    return json.loads((report / 'report.json').read_text())


def test_scores_are_those_of_the_test_loop(work_dirs: list[Path], numbers: dict, tmp_path: Path) -> None:
    for work_dir, run in zip(work_dirs, numbers['runs']):
        cfg = Config.fromfile(work_dir / f'{work_dir.name}.py')
        cfg.work_dir, cfg.load_from = str(tmp_path / work_dir.name), str(work_dir / 'best_changed_F1.pth')
        cfg.experiment_name = cfg.visualizer.name = f'{tmp_path.name}_{work_dir.name}'
        metrics = Runner.from_cfg(cfg).test()
        assert list(run['protocols']) == ['whole', 'tiles32']
        assert 0.05 < metrics['whole/changed_F1'] < 1
        for protocol, found in run['protocols'].items():
            for key, value in found['scores'].items():
                assert value == pytest.approx(metrics[f'{protocol}/{key}'], abs=1e-12), (protocol, key)


def test_numbers_by_plain_numpy(work_dirs: list[Path], numbers: dict, data_root: Path) -> None:
    """Predict every image anew, whole, and count with masks; nothing of the report is used but the model."""
    run = open_run(str(work_dirs[1]))
    model = load_run_model(run, 'cpu')
    probabilities, truths = [], []
    for index in range(5):
        pair = [np.asarray(Image.open(data_root / f'test/{folder}/pair_{index}.png')) for folder in 'AB']
        tensor = torch.from_numpy(np.concatenate(pair, axis=2).transpose(2, 0, 1).copy())
        with torch.inference_mode():
            inputs = model.data_preprocessor(dict(inputs=[tensor]), False)['inputs']
            probabilities.append(model(inputs).sigmoid()[0, 0].numpy())
        truths.append(np.asarray(Image.open(data_root / f'test/label/pair_{index}.png')) > 0)
    probability, truth = np.stack(probabilities), np.stack(truths)

    def score(threshold: float) -> tuple:
        tp = ((probability > threshold) & truth).sum()
        fp = ((probability > threshold) & ~truth).sum()
        fn = ((probability <= threshold) & truth).sum()
        return 2 * tp / max(2 * tp + fp + fn, 1), tp, fp, fn

    found, whole = numbers['runs'][1], numbers['runs'][1]['protocols']['whole']
    f1, tp, fp, fn = score(0.5)
    # A batch of two rounds in other places than one image: a pixel at the threshold may fall on the other side.
    assert whole['scores']['changed_F1'] == pytest.approx(f1, abs=2e-4)
    assert whole['confusion'][0][1] == pytest.approx(fp, abs=3) and whole['confusion'][1][0] == pytest.approx(fn, abs=3)
    assert found['changed'] == truth.mean() and found['images'] == found['units'] == 5
    best = max(range(1, 256), key=lambda k: score(k / 256)[0])
    assert whole['best_scores']['changed_F1'] == pytest.approx(score(best / 256)[0], abs=2e-4)
    low, high = whole['intervals']['changed_F1']
    assert low < f1 < high
    # The rectangles are 24 px high and 36 to 39 px wide: one object in each of four images, 20² to 40².
    assert [size['objects'] for size in found['objects']] == [0, 0, 4, 0, 0]
    assert found['matches']['truth'] == 4
    calibration = whole['calibration']
    assert sum(calibration['pixels']) == truth.size
    assert calibration['brier'] == pytest.approx(np.square(probability - truth).mean(), abs=1 / 256)  # a level
    # Each rectangle reaches into all four tiles of 32 px.
    assert len(found['tiles']['f1']) == 16 and found['tiles']['unchanged'] == 4


def test_comparison(numbers: dict) -> None:
    first, second = numbers['runs']
    assert [(one['protocol'], one['baseline'], one['run']) for one in numbers['comparisons']] == [
        ('whole', 'V6.1', 'V8 & <co>'), ('tiles32', 'V6.1', 'V8 & <co>')]
    for one in numbers['comparisons']:
        f1 = [run['protocols'][one['protocol']]['scores']['changed_F1'] for run in (first, second)]
        assert one['difference'] == pytest.approx(f1[1] - f1[0])
        assert one['interval'][0] <= one['difference'] <= one['interval'][1]
        assert 0 < one['p'] == one['p_holm'] <= 1
        assert one['better'] + one['worse'] <= 5


def test_page_is_sound_and_alone(report: Path) -> None:
    text = (report / 'report.html').read_text(encoding='utf-8')
    page = Page(text)
    assert page.open == []
    assert not re.search(r'https?:|@import|<script|<link', text)
    assert page.attributes['src'] and all(src.startswith('data:image/') for src in page.attributes['src'])
    assert not re.search(r'url\((?!#)', text)
    ids = page.attributes['id']
    assert len(ids) == len(set(ids))
    assert all(href[0] == '#' and href[1:] in ids for href in page.attributes['href'])
    assert all(target in ids for target in re.findall(r'url\(#([^)]+)\)', text))
    sections = ['scores', 'comparison', 'training', 'thresholds', 'calibration', 'tiles', 'objects', 'costs',
                'pictures', 'head', 'latex', 'methods']
    assert [name for name in ids if name in sections] == sections


def test_page_shows_both_runs_and_their_scores(report: Path, numbers: dict) -> None:
    text = (report / 'report.html').read_text(encoding='utf-8')
    words = ''.join(Page(text).text)
    assert 'V6.1' in words and 'V8 & <co>' in words and '<co>' not in text
    for run in numbers['runs']:
        for protocol in run['protocols'].values():
            for key in ('changed_F1', 'changed_IoU', 'changed_precision', 'changed_recall'):
                assert f'{100 * protocol["scores"][key]:.2f}' in words
            assert '{:.1f} to {:.1f}'.format(*(100 * limit for limit in protocol['intervals']['changed_F1'])) in words
        assert f"{run['costs']['parameters'] / 1e6:.2f}" in words
    assert re.search(r'>50\.0</text>', text)  # the best validation of the log


def test_files_beside_the_page(report: Path) -> None:
    assert {file.name for file in (report / 'figures').iterdir()} == {
        'comparison.png', 'training.png', 'thresholds-whole.png', 'thresholds-tiles32.png', 'calibration.png',
        'tiles.png', 'sizes.png'}
    for name in ('V6.1', 'V8_co_'):
        files = {file.name for file in (report / 'tiles' / name).iterdir()}
        assert {'worst_1.png', 'worst_2.png', 'map_1_gate_level_4.png', 'map_2_edge_level_1.png'} <= files


def test_latex(report: Path, numbers: dict) -> None:
    lines = (report / 'scores.tex').read_text().splitlines()
    rows = [line for line in lines if line.startswith('V')]
    assert rows[1].startswith(r'V8 \& <co> & ') and all(row.endswith(r' \\') for row in rows)
    cells = [row.removesuffix(r' \\').split(' & ') for row in rows]
    cells[1] = [r'V8 \& <co>', *cells[1][1:]]
    columns = ['changed_precision', 'changed_recall', 'changed_F1', 'changed_IoU']
    for row, run in zip(cells, numbers['runs']):
        assert row[1] == f"{run['costs']['parameters'] / 1e6:.1f}"
        values = [f'{100 * run["protocols"][protocol]["scores"][key]:.2f}'
                  for protocol in ('whole', 'tiles32') for key in columns]
        assert [re.sub(r'\\textbf\{(.*)\}', r'\1', cell) for cell in row[3:]] == values
    for one, other in zip(cells[0][3:], cells[1][3:]):
        strong = max((one, other), key=lambda cell: float(re.sub(r'[^\d.]', '', cell)))
        assert strong.startswith(r'\textbf{')
    assert lines[1] == r'\begin{tabular}{lrrrrrrrrrr}' and lines[-1] == r'\end{tabular}'
    assert escape(r'a_b\c~1%') == r'a\_b\textbackslash{}c\textasciitilde{}1\%'


def test_one_run_without_maps_at_another_threshold(work_dirs: list[Path]) -> None:
    out = work_dirs[1] / 'report'
    run_tool(work_dirs[1], '--no-maps', '--no-speed', '--panels', 0, '--threshold', 0.25, '--device', 'cpu')
    page, numbers = Page((out / 'report.html').read_text()), json.loads((out / 'report.json').read_text())
    assert not {'comparison', 'pictures', 'head'} & set(page.attributes['id'])
    (run, ) = numbers['runs']
    assert run['threshold'] == 0.25 and run['name'] == 'v8'
    store = evaluate(open_run(str(work_dirs[1])), 'test', 'cpu', 32)
    predicted = sum((record.levels['whole'] >= 64).sum() for record in store)
    (_, fp), (_, tp) = run['protocols']['whole']['confusion']
    assert fp + tp == predicted


def test_inline_svg() -> None:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color='#0072B2', marker='o', clip_on=True)
    axes.set_title('f1', color='#2b2d30')
    first, second = (to_inline_svg(figure, name, 'a chart', {'#0072B2': 'var(--c0)'}) for name in ('one', 'two'))
    assert first.startswith('<svg') and 'http' not in first and 'DejaVu' not in first
    assert 'var(--c0)' in first and '#0072b2' not in first.lower() and 'currentColor' in first
    assert Page(first).open == []
    ids = [Page(svg).attributes['id'] for svg in (first, second)]
    assert all(name.startswith('one-') for name in ids[0]) and not set(ids[0]) & set(ids[1])


def test_epochs_from_the_log() -> None:
    class Logged:
        train = [dict(iter=20, epoch=1), dict(iter=40, epoch=1), dict(iter=80, epoch=2), dict(iter=150, epoch=3)]

    assert iterations_per_epoch(Logged) == (50, 'epoch')
    Logged.train = [dict(iter=20), dict(iter=40)]
    assert iterations_per_epoch(Logged) == (1, 'iteration')


def test_cost_table() -> None:
    summaries = [SimpleNamespace(name=name) for name in 'ab']
    slow, fast = Timing(0.5, 0.4, 0.6, 0.4, 9), Timing(0.25, 0.2, 0.3, 0.2, 9)
    costs = dict(a=ModelCost(256, 2_000_000, 3 * 10**9, slow), b=ModelCost(256, 1_500_000, 4 * 10**9, fast))
    rows = costs_table(summaries, costs).rows
    assert [[cell.text for cell in row] for row in rows] == [
        ['a', '2.00', '3.00', '0.500', '2.0'], ['b', '1.50', '4.00', '0.250', '4.0']]
    assert [[cell.strong for cell in row[1:]] for row in rows] == [[False, True, False, False],
                                                                   [True, False, True, True]]
    untimed = costs_table(summaries, {name: ModelCost(256, 10**6, 10**9) for name in 'ab'})
    assert len(untimed.head) == len(untimed.rows[0]) == 3
    assert not any(cell.strong for row in untimed.rows for cell in row)
