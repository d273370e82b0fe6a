"""Who makes the blocks: this process, local processes, or the workers of a Dask cluster.

What is done is known from the blocks that are there and from nothing else. So an engine only hands out what is missing;
scheduling, transport, lost workers and repeated tries are Dask's.
"""
import asyncio
import logging
import multiprocessing
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.logging import print_log

from ..engine.machine import keep_freed_memory
from ..engine.workers import signals_blocked
from ..io.files import refusal_of
from .blocks import remove_leftovers, run_block
from .grid import LOGS, block_name
from .job import BlockTask, Job

# A block that fails so often is a gap.
TRIES = 3
# With less free space than this after a failure, the disk is full, and all other blocks would fail as well.
FULL = 64 << 20
SECONDS_BETWEEN_LINES = 10
CONNECT_TIMEOUT = 30
SECONDS_TO_CLOSE = 1.  # for Dask, where its workers are killed
# Blocks as they are through, each with the error of its last try.
Blocks = Generator[tuple[BlockTask, BaseException | None], None, None]
_BUSY = threading.Lock()
LOGGERS = ('distributed', 'asyncio', 'tornado')


@dataclass
class Outcome:
    """The result of a run over blocks.

    Attributes:
        made: Number of blocks that were made.
        seconds: Wall time of the run.
        failed: Reason of each failed block.
    """
    made: int = 0
    seconds: float = 0.
    failed: dict[tuple[int, int], str] = field(default_factory=dict)


class Progress:
    """Says how far all blocks are, and what time is left at the pace so far.

    Args:
        total: Number of blocks of the region.
        done: Number of blocks that were finished at the start.
    """

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.failed = total, done, 0
        self._begun, self._at_start, self._said = time.monotonic(), done, 0.

    def update(self, failed: bool) -> None:
        """One more block is through."""
        self.done, self.failed = self.done + (not failed), self.failed + failed
        now = time.monotonic()
        through = self.done + self.failed
        if through < self.total and now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        pace = (now - self._begun) / max(through - self._at_start, 1)
        left = time.strftime('%H:%M:%S', time.gmtime(pace * (self.total - through) % 86400))
        days = int(pace * (self.total - through) // 86400)
        print_log(f'{self.done:,} of {self.total:,} blocks done{f", {self.failed:,} failed" if self.failed else ""}, '
                  f'{pace:.1f} s each, {f"{days} d " if days else ""}{left} left', logger='current')


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does: what is open is closed, and half blocks are deleted."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_blocks(job: Job, tasks: Sequence[BlockTask], total: int, workers: int = 1,
               scheduler: str | None = None) -> Outcome:
    """Make blocks.

    Args:
        job: Settings that all blocks share.
        tasks: The missing blocks.
        total: Number of blocks of the region, for the progress.
        workers: Number of local processes; 1 for this process alone.
        scheduler: Address of a Dask scheduler, whose workers make the blocks.

    Returns:
        What became of them.

    Raises:
        OSError: If the disk is full, or the scheduler cannot be reached or is lost.
        ImportError: If Dask is needed and missing.
    """
    outcome, progress = Outcome(), Progress(total, total - len(tasks))
    begun = time.monotonic()
    with stop_on_sigterm():
        if not tasks:
            return outcome
        results = _in_process(job, tasks) if workers == 1 and scheduler is None else _by_dask(
            job, tasks, workers, scheduler)
        try:
            with closing(results):  # ends the local workers, whatever ends the loop
                for task, error in results:
                    if error is None:
                        outcome.made += 1
                    else:
                        _failed(job, task, error, outcome)
                    progress.update(error is not None)
        finally:
            remove_leftovers(Path(job.out))
    outcome.seconds = time.monotonic() - begun
    for reason, count in Counter(outcome.failed.values()).items():
        if count > 1:
            print_log(f'{count:,} blocks failed for the same reason: {reason}', logger='current', level=30)
    return outcome


def _failed(job: Job, task: BlockTask, error: BaseException, outcome: Outcome) -> None:
    name = block_name(task.row, task.column)
    reason = f'{type(error).__name__}: {error}'
    if reason not in outcome.failed.values():  # a damaged raster spoils many blocks, and is said once
        print_log(f'block {name} failed {TRIES} times and is left out: {reason} (details in {Path(job.out) / LOGS}'
                  f'/{name}.log)', logger='current', level=30)
    outcome.failed[task.row, task.column] = reason
    if isinstance(error, OSError):
        free, refusal = shutil.disk_usage(job.out).free, refusal_of(Path(job.out))
        if free < FULL or refusal is not None:
            wrong = 'the disk is full' if free < FULL else f'{refusal} ({free:,} bytes are free on the disk)'
            raise OSError(f'{job.out}: {wrong}. Free some space and start the same command again: what is done stays. '
                          f'The block that failed is {name}: {reason}')


def _in_process(job: Job, tasks: Sequence[BlockTask]) -> Blocks:
    for task in tasks:
        error: Exception | None = None
        for _ in range(TRIES):
            try:
                run_block(job, task)
                error = None
                break
            except Exception as failure:  # whatever it is, the other blocks go on; it is reported
                error = failure
        yield task, error


def run_alone(job: Job, task: BlockTask) -> dict:
    """Make a block in a worker of Dask, one at a time: the model and its threads are the process's."""
    # With this setting Dask starts its workers. By it glibc gives all memory back at once: twice the time of a block.
    keep_freed_memory(disregard=('MALLOC_TRIM_THRESHOLD_', ))
    with _BUSY:
        return run_block(_on_own_device(job), task)


def _on_own_device(job: Job) -> Job:
    """The job on a GPU of its own for each local worker, if there are several."""
    import torch
    from distributed import get_worker
    name = get_worker().name
    if job.device not in (None, 'cuda') or not isinstance(name, int) or torch.cuda.device_count() < 2:
        return job
    return replace(job, device=f'cuda:{name % torch.cuda.device_count()}')


def _by_dask(job: Job, tasks: Sequence[BlockTask], workers: int,
             scheduler: str | None) -> Blocks:
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise ImportError("several workers need Dask: pip install 'mamba_cd_plugin[regions]'; --workers 1 and --shard "
                          f'do without ({error})') from error
    with _levels_kept(*LOGGERS), _client(Client, LocalCluster, workers, scheduler) as client:
        by_key = {f'block-{block_name(task.row, task.column)}-{task.digest[:12]}': task for task in tasks}
        futures = client.map(partial(run_alone, job), list(by_key.values()), key=list(by_key), retries=TRIES - 1,
                             pure=False, batch_size=1000)
        for future in as_completed(futures):
            if future.status not in ('finished', 'error'):
                raise OSError(f'the scheduler {scheduler or "of the local workers"} is lost ({future.status}). The '
                              'blocks that are done stay: start it, and then the same command, again')
            yield by_key[future.key], future.exception() if future.status == 'error' else None
            future.release()


@contextmanager
def _levels_kept(*names: str) -> Iterator[None]:
    """Give loggers and their handlers their levels back at the end; Dask leaves them where a cluster cannot close."""
    loggers = [logging.getLogger(name) for name in names]
    leveled: list[Any] = [*loggers, *(handler for logger in loggers for handler in logger.handlers)]
    before = [(each, each.level) for each in leveled]
    try:
        yield
    finally:
        for each, level in before:
            each.setLevel(level)


@contextmanager
def _client(client_type: Any, cluster_type: Any, workers: int, scheduler: str | None) -> Iterator[Any]:
    """A client of the scheduler, or of local processes that end with it."""
    if scheduler is not None:
        try:
            client = client_type(scheduler, timeout=CONNECT_TIMEOUT)
        except (OSError, ValueError) as error:
            raise OSError(f'--scheduler {scheduler}: cannot be reached ({error}). Is it running, and its port '
                          'open?') from error
        with client:
            yield client
        return
    # Without a limit of Dask's: it would stop a worker that takes more than its share of the memory, which the
    # model may do for a moment. All its ports are for this machine alone; its page of status would be for everybody.
    others = multiprocessing.active_children()
    # Ctrl-C reaches all processes of a terminal. Workers would show where it met them; who ends them is this process.
    if sys.platform != 'win32':
        resource_tracker.ensure_running()  # else multiprocessing starts it with the first worker, and unblocks SIGINT
    with signals_blocked({signal.SIGINT}):
        cluster = cluster_type(n_workers=0, threads_per_worker=1, processes=True, memory_limit=0,
                               dashboard_address='127.0.0.1:0', silence_logs=50)
    to_close = [cluster]
    try:
        client = client_type(cluster)
        to_close.insert(0, client)
        cluster.scale(workers)
        cluster.sync(_wait_for, cluster)
        yield client
    except BaseException:
        for name in LOGGERS:  # workers that end unasked, or before they have started, are errors
            logging.getLogger(name).setLevel(logging.CRITICAL)
        for nanny in cluster.workers.values():
            nanny.close_gracefully()  # it starts no other in place of a killed one
        _kill_workers(others)
        cluster.shutdown_on_close = False  # not once more at the end of this process
        for each in to_close:
            with suppress(Exception):  # older releases of Dask wait for ever for a worker that was killed as it started
                each.close(SECONDS_TO_CLOSE)
        _kill_workers(others)  # what was just being started
        raise
    for each in to_close:
        each.close()


async def _wait_for(cluster: Any) -> None:
    """Wait until each worker of a cluster has started.

    Raises:
        OSError: If one cannot.
    """
    # Shielded: Ctrl-C cancels this, and a cluster that were cancelled as well could not be closed any more.
    with suppress(Exception):
        await asyncio.shield(asyncio.ensure_future(cluster))
    nannies = list(cluster.workers.values())
    for started in await asyncio.gather(*(nanny.start() for nanny in nannies), return_exceptions=True):
        if isinstance(started, Exception):
            raise OSError(f'of {len(nannies)} local workers at least one cannot start ({started}). Fewer of them need '
                          'less memory, and --workers 1 does without them') from started


def _kill_workers(others: Sequence[Any]) -> None:
    """End the local workers without waiting for what they are at: whole blocks only are there, and half ones are lost.

    Dask would wait five seconds for each.

    Args:
        others: Processes that are none of them.
    """
    workers = [process for process in multiprocessing.active_children()
               if process not in others and process.name.startswith('Dask')]
    for process in workers:
        process.kill()
    until = time.monotonic() + SECONDS_TO_CLOSE
    while any(process.is_alive() for process in workers) and time.monotonic() < until:
        time.sleep(0.01)


def shard_of(tasks: Sequence[BlockTask], shard: str) -> list[BlockTask]:
    """The tasks of one of several shards, such as '3/16'; every shard has its part of each corner of the region.

    Raises:
        ValueError: If that is no shard.
    """
    number, count = parse_shard(shard)
    return list(tasks[number - 1::count])


def parse_shard(shard: str) -> tuple[int, int]:
    """The number of a shard, from 1, and how many there are, of a text such as '3/16'.

    Raises:
        ValueError: If that is no shard.
    """
    try:
        number, count = (int(part) for part in shard.split('/'))
        if not 1 <= number <= count:
            raise ValueError
    except ValueError:
        raise ValueError(f'--shard {shard}: expected a number and how many there are, from 1/16 to 16/16') from None
    return number, count
