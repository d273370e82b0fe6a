"""Data workers that leave signals to the training, and loaders that hand their batches to a GPU."""
import atexit
import mmap
import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from mmengine.dataset.utils import worker_init_fn
from mmengine.dist import get_rank

# One byte that forked workers share with the process that imported this: whether it is ending.
_ending = mmap.mmap(-1, 1)
_owner = os.getpid()
SECONDS_TO_END = 0.5  # for all data workers together
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def start_worker(worker_id: int, num_workers: int, rank: int, seed: int) -> None:
    """Start a data worker as mmengine does, but leave SIGINT and SIGTERM to the main process.

    Ctrl-C and Slurm's SIGTERM reach every process of a job. A worker that dies of them takes the training with it
    before that can write its checkpoint.
    """
    worker_init_fn(worker_id, num_workers, rank, seed)
    if os.getppid() == _owner:  # forked: one that was spawned does not share the byte
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _end_with_the_owner)
    if sys.platform != 'win32':
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # see _DeafWorker


@contextmanager
def signals_blocked(signals: Collection[int]) -> Iterator[None]:
    """Keep signals from this thread, and from the threads and processes that are started inside, as long as they live.

    Windows has no such masks: there it does nothing.
    """
    if sys.platform == 'win32':
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _later() -> Iterator[None]:
    """Let SIGINT wait for the end of what is done inside.

    The commands would raise a lost KeyboardInterrupt again (``cli.main.interruptions_kept``), but trainings by a script
    of the user's would not; nor may it come while a process has begun that nobody knows yet.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    seen: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if seen:
            handler(*seen[0])


if sys.platform != 'win32':

    class _DeafWorker(multiprocessing.context.ForkProcess):
        """A process that gets no signal before :func:`start_worker` has settled what it does with them.

        Until then Ctrl-C would end it with a traceback, though the training itself ends in silence. In the training
        Ctrl-C comes after the fork: what Python calls around one, logging's locks for instance, may not raise anything,
        so that a KeyboardInterrupt would be lost there. Another thread may get the signal although this one blocks it.
        """

        def start(self) -> None:
            with signals_blocked(_SIGNALS), _later():
                super().start()

    class DeafContext(multiprocessing.context.ForkContext):
        """multiprocessing's context whose processes are data workers."""

        Process = _DeafWorker


def _end_with_the_owner(number: int, frame: FrameType | None) -> None:
    if _ending[0] or os.getppid() != _owner:
        os._exit(0)


def end_workers() -> None:
    """End the data workers of this process at once.

    torch waits five seconds for each where a training ends by an error or by Ctrl-C.
    """
    if os.getpid() != _owner:
        return
    _ending[0] = 1
    workers = [child for child in multiprocessing.active_children() if child.daemon]
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + SECONDS_TO_END
    for worker in workers:
        worker.join(timeout=max(0., until - time.monotonic()))
        if worker.is_alive():  # it is only starting, and would first finish that
            worker.kill()
    _ending[0] = 0


# Before multiprocessing's own, registered earlier, which asks the workers that are left to end and waits for them.
atexit.register(end_workers)


def with_steady_workers(dataloader: Any, seed: int | None) -> Any:
    """A data loader's config with these workers, and with batches in pinned memory where there is a GPU.

    Args:
        dataloader: The config; a built loader is returned as it is.
        seed: Seed of the run.
    """
    if not isinstance(dataloader, dict):
        return dataloader
    # torch refuses workers that persist where there are none, and num_workers=0 is what a user changes alone.
    workers = dataloader.get('num_workers', 0)
    dataloader = dataloader if workers else {**dataloader, 'persistent_workers': False}
    start = dict(type=start_worker, num_workers=workers, rank=get_rank(), seed=seed or 0)
    # Asked so, it does not become settled; the first of all methods is the system's own.
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    ours = workers and method == 'fork' and 'worker_init_fn' not in dataloader  # another one would leave them deaf
    more = {'multiprocessing_context': DeafContext()} if ours else {}
    return {'worker_init_fn': start, 'pin_memory': torch.cuda.is_available(), **more, **dataloader}
