"""Train configs under the same conditions, test them, and put the results into one table and a bar chart:

    mamba-cd ablation configs/small/*_synthetic.py --seeds 0 1 --minutes 8 --jobs 2

Called again after an interruption it resumes: finished trainings are skipped, failed ones are retried.
Exit status: 0 if every run finished, 1 if one failed.
"""
import argparse
import signal
import sys
from pathlib import Path

from mmengine.logging import print_log
from prettytable import PrettyTable

from ..analysis.ablation.error_sheet import write_error_sheet
from ..analysis.ablation.execute import describe_start, run_all
from ..analysis.ablation.plan import Trial, make_plan, read_outcome
from ..analysis.ablation.scatter import draw_costs, drawable_rows
from ..analysis.ablation.table import summarise_trials, write_ablation
from ..analysis.complexity import measure_costs
from ..analysis.machine import machine_line
from ..analysis.report_files import file_names
from ..engine.config_options import OptionsAction
from ..engine.precision import AMP_DTYPES
from ..io.files import OutputFolder
from ..resources import find_config, tools_dir

ERRORS = (OSError, KeyError, ValueError)
COSTS = 'ablation_costs.png'
STOPPED = 'stopped; the same command resumes from the last checkpoints'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument('configs', nargs='+', help='configs: their files, or their names alone')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='one run per config and seed (default 0)')
    parser.add_argument('--work-dir', default='work_dirs/ablation', help='for all runs and the table')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionsAction, default={}, help='overrides, key=value, for all')
    parser.add_argument(
        '--as', dest='recipe', metavar='CONFIG',
        help='train and test every model as this config does: its data, optimizer, schedule, hooks and metric; only '
        'the models are those of the configs')
    parser.add_argument(
        '--same-loss', action='store_true',
        help="with --as: its config's loss too, in place of each model's own; losses of further outputs stay")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        '--minutes', type=float, metavar='M',
        help='equal time: every training gets M minutes, its schedule fitted to them by the clock')
    budget.add_argument(
        '--cpu-minutes', type=float, metavar='M',
        help='the same by the time that the cores work for the training, whatever else runs on the machine')
    budget.add_argument(
        '--epochs', type=int, metavar='N',
        help='equal epochs, and with --as equal steps: every training has N, its schedule fitted to them. Default: '
        "each config's own number, or that of --cfg-options")
    parser.add_argument(
        '--amp', nargs='?', const='auto', choices=['auto', *AMP_DTYPES],
        help='mixed precision of all trainings, as in `mamba-cd train`; the tests are in float32')
    parser.add_argument(
        '--jobs', type=int, default=1, metavar='J',
        help='runs at once, each with its share of the cores; on 2 cores --jobs 2 gets more done than --jobs 1')
    parser.add_argument(
        '--pictures', action='store_true',
        help='draw the tested pairs of every run with their errors, and ablation_errors.png: the same pairs for all')
    parser.add_argument('--size', type=int, default=256, metavar='PX', help='side of the pair for FLOPs and seconds')
    parser.add_argument('--seconds', type=float, default=5., metavar='S', help='of timing per config (default 5)')
    parser.add_argument('--dry-run', action='store_true', help='print the plan and do nothing')
    parser.add_argument('--table', action='store_true',
                        help='train nothing: write the table and the charts of the trials that are finished')


def describe_plan(trials: list[Trial], budget: str) -> str:
    """The plan as a table: what will be trained, and from where."""
    table = PrettyTable(['config', 'seed', 'to do', 'folder'])
    table.align = 'l'
    for trial in trials:
        outcome = read_outcome(trial)
        state = 'finished' if outcome.status == 'done' else describe_start(trial, outcome)
        failed = f'; failed before: {outcome.error}' if outcome.status == 'failed' else ''
        table.add_row([trial.name, trial.seed, state + failed, trial.folder])
    return f'{table}\n{len(trials)} trials; {budget}'


def keep_finished(trials: list[Trial], work_dir: Path) -> list[Trial]:
    """The trials that are finished; says which are not.

    Raises:
        ValueError: If none is.
    """
    finished = {trial.title: trial for trial in trials if read_outcome(trial).status == 'done'}
    if not finished:
        raise ValueError(f'--table: none of the {len(trials)} trials is finished in {work_dir}; without --table they '
                         'are trained')
    missing = [trial.title for trial in trials if trial.title not in finished]
    if missing:
        print_log(f'Not finished, and not in the table: {"; ".join(missing)}')
    return list(finished.values())


def run(args: argparse.Namespace) -> int:
    """Train, test, report.

    Raises:
        ValueError: If an argument is not as it must be.
    """
    if args.jobs < 1:
        raise ValueError(f'--jobs must be 1 or more, but is {args.jobs}')
    if args.same_loss and not args.recipe:
        raise ValueError('--same-loss is the loss of the config that --as names, which is missing')
    work_dir = Path(args.work_dir)
    minutes, clock = (args.minutes, 'wall') if args.cpu_minutes is None else (args.cpu_minutes, 'cpu')
    trials = make_plan([str(find_config(name)) for name in args.configs], args.seeds, work_dir, args.cfg_options,
                       minutes, clock, args.recipe and str(find_config(args.recipe)), args.epochs, args.amp,
                       args.same_loss)
    if minutes is not None:
        budget = f'every training gets {minutes:g} {"CPU " if clock == "cpu" else ""}minutes'
    else:
        budget = f'every training has {args.epochs} epochs' if args.epochs else 'every config trains its own epochs'
    if args.recipe:
        budget += f', all as {Path(args.recipe).stem} trains' + (', with the same loss' if args.same_loss else '')
    if args.amp:
        budget += f', {trials[0].cfg.optim_wrapper.dtype}'
    if args.dry_run:
        print_log(describe_plan(trials, budget))
        return 0
    if args.table:
        trials = keep_finished(trials, work_dir)
    outputs = OutputFolder(work_dir, option='--work-dir')
    outputs.refuse_foreign([*file_names('ablation'), COSTS])
    # Like Ctrl-C: the trainings end with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    outcomes = run_all(trials, tools_dir(), args.jobs, args.pictures)
    conditions = [
        f'{budget[0].upper()}{budget[1:]}; {args.jobs} at once. F1: mean ± standard deviation over the seeds. FLOPs '
        f'and s per pair: forward pass of one pair of {args.size} px. Peak memory: of the training process.', '',
        f'{machine_line()}.'
    ]
    rows = summarise_trials(trials, outcomes)
    write_ablation(rows, conditions, work_dir)  # hours of training are on the disk before anything else can go wrong
    # One trial a config, of the first seed that finished.
    finished = {trial.name: trial for trial, outcome in reversed(list(zip(trials, outcomes)))
                if outcome.status == 'done'}
    sheet = work_dir / 'ablation_errors.png'
    if args.pictures and not write_error_sheet([finished[row.name] for row in rows if row.name in finished], sheet):
        print_log(f'no {sheet.name}: the finished trials share no tested pair with a mask')
    print_log('Measuring what the models cost')
    costs = measure_costs({name: trial.cfg for name, trial in finished.items()}, args.size, args.seconds)
    for row in rows:
        row.cost = costs.get(row.name)
    paths = write_ablation(rows, conditions, work_dir)
    if drawable_rows(rows):
        with outputs.write(COSTS) as part:
            draw_costs(rows, part)
        paths.append(work_dir / COSTS)
    print_log(f'{paths[0].read_text()}\nwritten: {", ".join(map(str, paths))}')
    return int(any(row.errors for row in rows))
