"""Writes the report of finished runs."""
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from ..analysis.complexity import ModelCost, measure_costs
from ..io.files import OutputFolder
from .page import Charts, Contents, all_sections, render_page
from .pixels import nearest_level
from .results import Results, Sampling, collect, compare_runs, summarise_run
from .runs import Run, evaluate, load_run_model
from .tables import latex_table

# Of mmseg's decode heads with two classes, which take the argmax.
TWO_CLASS_THRESHOLD = 0.5
DEFAULT_TILE = 256
# Time for each model: enough for a dozen pairs on a slow processor.
SECONDS_PER_MODEL = 5.
# With more runs the title of the page gives their number instead of their names.
NAMED = 2


@dataclass(frozen=True)
class ReportOptions:
    """Options of the report.

    Attributes:
        split: 'test' or 'val'.
        device: Device of the models, such as 'cuda:0'.
        threshold: Probability above which a pixel counts as changed; by default that of each run's head.
        panels: Number of worst, best and most different tiles shown of each run.
        maps: Number of tiles whose gates and edge maps are shown.
        timed: Whether to time the models.
        fresh: Whether to repeat evaluations that earlier reports have stored.
        sampling: Settings of the intervals and tests.
    """
    split: str = 'test'
    device: str = 'cpu'
    threshold: float | None = None
    panels: int = 6
    maps: int = 3
    timed: bool = True
    fresh: bool = False
    sampling: Sampling = field(default_factory=Sampling)


def write_report(runs: Sequence[Run], out: Path, options: ReportOptions) -> Path:
    """Evaluate the runs, except for what is stored already, and write the report.

    ::

        runs -> evaluate (maps per image, stored in each work dir) -> collect
             -> summarise_run, compare_runs -> sections -> page

    Args:
        runs: The runs; the first one is the baseline.
        out: Folder for ``report.html``, ``report.json``, ``scores.tex``, ``figures/`` and ``tiles/``.
        options: Options of the report.

    Returns:
        Path of the page.
    """
    outputs = OutputFolder(out, option='--out')
    outputs.claim(['report.html', 'scores.tex', 'report.json', 'figures', 'tiles'])
    results = [_results(run, options) for run in runs]
    models: dict[str, nn.Module] = {}
    if options.maps or options.timed:
        models = {run.name: load_run_model(run, options.device) for run in runs}
    costs = measure_costs({run.name: run.cfg for run in runs}, _tile(runs[0]) or DEFAULT_TILE,
                          SECONDS_PER_MODEL if options.timed else None, options.device, models)
    summaries = [summarise_run(result, options.sampling) for result in results]
    comparisons = compare_runs(results, options.sampling)
    latex = latex_table(summaries, costs)
    contents = Contents(results, summaries, comparisons, costs, models, latex, options.sampling)

    out.mkdir(parents=True, exist_ok=True)
    sections = all_sections(contents, Charts(out / 'figures'), out / 'tiles', options.panels, options.maps)
    title = ' and '.join(run.name for run in runs) if len(runs) <= NAMED else f'Comparison of {len(runs)} runs'
    # The name only: the page may be shared, and the folders of this machine concern nobody else.
    data = Path(results[0].run.cfg.get('data_root') or '').name
    subtitle = ' · '.join(filter(None, [data, f'{options.split} split', f'{summaries[0].images:,} images']))
    page = out / 'report.html'
    texts = {'scores.tex': latex, 'report.json': json.dumps(_as_json(contents, options), indent=1),
             page.name: render_page(title, subtitle, sections)}  # the page last: where it is, everything is
    for name, text in texts.items():
        with outputs.write(name) as part:
            part.write_text(text, encoding='utf-8')
    return page


def _results(run: Run, options: ReportOptions) -> Results:
    tile = _tile(run)
    of_head = run.cfg.model.get('decode_head', {}).get('threshold') or TWO_CLASS_THRESHOLD
    level = nearest_level(of_head if options.threshold is None else options.threshold)
    store = evaluate(run, options.split, options.device, tile, options.fresh)
    print_log(f'{run.name}: counting', logger='current')
    return collect(run, store, level, tile)


def _tile(run: Run) -> int | None:
    """Side of the tiles in the run's test loop."""
    return run.cfg.get('test_cfg', {}).get('tile', DEFAULT_TILE)


def _as_json(contents: Contents, options: ReportOptions) -> dict:
    """All numbers of the page."""
    runs: list[dict] = []
    for result, summary in zip(contents.results, contents.summaries):
        cost: ModelCost = contents.costs[summary.name]
        timing = None if cost.timing is None else cost.timing._asdict()
        numbers = asdict(summary)
        for protocol, scores in summary.protocols.items():
            numbers['protocols'][protocol]['calibration'] = scores.calibration._asdict()
        matches = {**summary.matches._asdict(), 'precision': summary.matches.precision,
                   'recall': summary.matches.recall, 'f1': summary.matches.f1}
        runs.append({**numbers, 'matches': matches, 'objects': [size._asdict() for size in summary.objects],
                     'checkpoint': str(result.run.checkpoint), 'costs': {**asdict(cost), 'timing': timing}})
    return {'split': options.split, 'sampling': asdict(options.sampling), 'runs': runs,
            'comparisons': [asdict(comparison) for comparison in contents.comparisons]}
