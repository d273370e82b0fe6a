"""Train configs under the same conditions, test them, and put the results into one table and a bar chart:

    python tools/analysis_tools/ablation.py configs/small/*_synthetic.py --seeds 0 1 --minutes 8 --jobs 2

Called again after a stop it goes on where it was; what is finished is not done again, what failed is tried again.
Exit status: 0 if every run finished, 1 if one failed.
"""
import argparse
import signal
import sys
from pathlib import Path
from typing import List

from mmengine.config import DictAction
from mmengine.logging import print_log
from prettytable import PrettyTable

import mamba_cd_plugin  # noqa: F401  registers everything, also for a config that forgot custom_imports
from mamba_cd_plugin.analysis.ablation.cost import measure_costs
from mamba_cd_plugin.analysis.ablation.error_sheet import write_error_sheet
from mamba_cd_plugin.analysis.ablation.execute import describe_start, run_all
from mamba_cd_plugin.analysis.ablation.outcome import read_outcome
from mamba_cd_plugin.analysis.ablation.plan import Run, make_plan
from mamba_cd_plugin.analysis.ablation.report import write_report
from mamba_cd_plugin.analysis.ablation.summary import summarise_runs
from mamba_cd_plugin.analysis.benchmark_report import describe_machine

TOOLS = Path(__file__).parents[1]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='one run per config and seed (default 0)')
    parser.add_argument('--work-dir', default='work_dirs/ablation', help='for all runs and the table')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='overrides, key=value, for all')
    parser.add_argument(
        '--minutes', type=float, metavar='M',
        help='equal time: every training gets M minutes, its schedule fitted to them by the clock. Default: equal '
        "epochs, each config's own, or those of --cfg-options")
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='J',
        help='runs at once, each with its share of the cores; on 2 cores --jobs 2 gets more done than --jobs 1')
    parser.add_argument(
        '--pictures', action='store_true',
        help='draw the tested pairs of every run with their errors, and ablation_errors.png: the same pairs for all')
    parser.add_argument('--size', type=int, default=256, metavar='PX', help='side of the pair for FLOPs and seconds')
    parser.add_argument('--seconds', type=float, default=5., metavar='S', help='of timing per config (default 5)')
    parser.add_argument('--dry-run', action='store_true', help='print the plan and do nothing')
    return parser.parse_args()


def describe_plan(runs: List[Run], budget: str) -> str:
    """The plan as a table: what will be trained, and from where."""
    table = PrettyTable(['config', 'seed', 'to do', 'folder'])
    table.align = 'l'
    for run in runs:
        outcome = read_outcome(run)
        state = 'finished' if outcome.status == 'done' else describe_start(run, outcome)
        failed = f'; failed before: {outcome.error}' if outcome.status == 'failed' else ''
        table.add_row([run.name, run.seed, state + failed, run.folder])
    return f'{table}\n{len(runs)} runs; {budget}'


def main() -> int:
    """Train, test, report."""
    args = parse_args()
    if args.jobs < 1:
        raise SystemExit(f'error: --jobs must be 1 or more, but is {args.jobs}')
    work_dir = Path(args.work_dir)
    try:
        runs = make_plan(args.configs, args.seeds, work_dir, args.cfg_options, args.minutes)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise SystemExit(f'error: {error.args[0]}') from error
    budget = f'every training gets {args.minutes:g} minutes' if args.minutes else 'every config trains its own epochs'
    if args.dry_run:
        print_log(describe_plan(runs, budget))
        return 0
    # Like Ctrl-C: the trainings end with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        outcomes = run_all(runs, TOOLS, args.jobs, args.pictures)
    except KeyboardInterrupt:
        raise SystemExit('stopped; the same command goes on from the last checkpoints') from None
    conditions = [
        f'{budget[0].upper()}{budget[1:]}; {args.jobs} at once. F1: mean ± standard deviation over the seeds. FLOPs '
        f'and s per pair: forward pass of one pair of {args.size} px. Peak memory: of the training process.', '',
        f'{describe_machine()}.'
    ]
    rows = summarise_runs(runs, outcomes)
    write_report(rows, conditions, work_dir)  # hours of training are on the disk before anything else can go wrong
    # One run a config, of the first seed that finished.
    finished = {run.name: run for run, outcome in reversed(list(zip(runs, outcomes))) if outcome.status == 'done'}
    sheet = work_dir / 'ablation_errors.png'
    if args.pictures and not write_error_sheet([finished[row.name] for row in rows if row.name in finished], sheet):
        print_log(f'no {sheet.name}: the finished runs share no tested pair with a mask')
    print_log('Measuring what the models cost')
    costs = measure_costs(list(finished.values()), args.size, args.seconds)
    for row in rows:
        row.cost = costs.get(row.name)
    paths = write_report(rows, conditions, work_dir)
    print_log(f'{paths[0].read_text()}\nwritten: {", ".join(map(str, paths))}')
    return int(any(row.errors for row in rows))


if __name__ == '__main__':
    sys.exit(main())
