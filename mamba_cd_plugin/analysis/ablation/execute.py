"""Training and testing the runs of an ablation, each in a subprocess, so that one crash does not end the others."""
import os
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import List, Optional, Sequence

from mmengine.logging import print_log

from .checkpoints import checkpoint_to_test, epochs_trained, newest_checkpoint
from .outcome import Outcome, read_outcome, read_scores, write_outcome
from .plan import Run, write_config
from .subprocesses import STOPPED, Subprocesses

MIB = 2**20


def run_all(runs: Sequence[Run], tools: Path, jobs: int = 1, pictures: bool = False) -> List[Outcome]:
    """Train and test what is not finished.

    Several single-threaded trainings at once get more done than one after the other on all cores, since much of a
    step does not use them all.

    Args:
        runs: what to do, in this order.
        tools: folder with train.py and test.py.
        jobs: how many runs at once. With more than one, each gets its share of the cores; one alone is left torch's own
            number of threads, or OMP_NUM_THREADS.
        pictures: whether the tests draw their pairs and write their masks.

    Returns:
        What became of each run, in the same order.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    threads = str(max(1, cores // jobs))
    subprocesses = Subprocesses(dict(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads) if jobs > 1 else None)
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(carry_out, run, tools, subprocesses, pictures, f'[{number}/{len(runs)}]')
                   for number, run in enumerate(runs, 1)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return [future.result() for future in futures]
        finally:  # Ctrl-C, too: the trainings must not go on alone
            subprocesses.stop()
            pool.shutdown(wait=True, cancel_futures=True)


def carry_out(run: Run, tools: Path, subprocesses: Subprocesses, pictures: bool = False, label: str = '') -> Outcome:
    """Train and test one run from where an earlier call left it; one that failed is tried again.

    Args:
        run: what to train.
        tools: folder with train.py and test.py.
        subprocesses: that run them.
        pictures: whether the test draws its pairs and writes its masks.
        label: in front of messages.
    """
    outcome = read_outcome(run)
    if outcome.status == 'done':
        print_log(f'{label} {run.title}: finished earlier')
        return outcome
    write_config(run)
    error = None
    print_log(f'{label} {run.title}: {describe_start(run, outcome)}')
    if not outcome.trained:
        error = _train(run, tools, subprocesses, outcome)
    if error is None:
        error = _test(run, tools, subprocesses, outcome, pictures)
    if error == STOPPED:
        return outcome
    outcome.error = error or ''
    outcome.status = 'failed' if error else 'done'
    write_outcome(run, outcome)
    print_log(f'{label} {run.title}: {_describe(outcome)}')
    return outcome


def describe_start(run: Run, outcome: Outcome) -> str:
    """What is to be done for a run that is not finished."""
    newest = newest_checkpoint(run)
    if outcome.trained:
        return 'testing'
    return f'training from {newest.name} on' if newest else 'training'


def _train(run: Run, tools: Path, subprocesses: Subprocesses, outcome: Outcome) -> Optional[str]:
    command = [sys.executable, str(tools / 'train.py'), str(run.config_file), '--work-dir', str(run.folder)]
    start = time.monotonic()
    ended = subprocesses.run([*command, '--resume'] if newest_checkpoint(run) else command, run.folder / 'train.log')
    outcome.seconds += time.monotonic() - start
    outcome.peak_mib = max(outcome.peak_mib, ended.peak_bytes / MIB)
    outcome.epochs = epochs_trained(run)
    outcome.trained = ended.error is None
    write_outcome(run, outcome)
    return ended.error


def _test(run: Run, tools: Path, subprocesses: Subprocesses, outcome: Outcome, pictures: bool) -> Optional[str]:
    checkpoint = checkpoint_to_test(run)
    if checkpoint is None:
        return 'the training ended without a checkpoint; is default_hooks.checkpoint of the config switched off?'
    command = [sys.executable, str(tools / 'test.py'), str(run.config_file), str(checkpoint), '--work-dir',
               str(run.folder / 'test')]
    if pictures:
        command += ['--show-dir', str(run.folder / 'pictures'), '--out', str(run.masks)]
    error = subprocesses.run(command, run.folder / 'test.log').error
    if error is not None:
        return error
    outcome.scores = read_scores(run.folder / 'test')
    return None if outcome.scores else 'the test wrote no metrics; are default_hooks.logger and test_evaluator on?'


def _describe(outcome: Outcome) -> str:
    if outcome.error:
        return f'failed: {outcome.error}'
    scores = '; '.join(f'F1 {100 * values["changed_F1"]:.2f} %{f" on {protocol}" if protocol else ""}'
                       for protocol, values in outcome.scores.items() if 'changed_F1' in values)
    return f'{outcome.epochs} epochs in {outcome.seconds / 60:.1f} minutes, {scores or "no changed_F1"}'
