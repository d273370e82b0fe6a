"""What the loops add to the config of a data loader."""
import os
import signal
import threading
import time
from multiprocessing.connection import Connection

import pytest
import torch

from mamba_cd_plugin.engine.workers import DeafContext, start_worker, with_steady_workers


@pytest.mark.parametrize('gpu', [True, False])
def test_batches_are_pinned_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    asked = dict(batch_size=4, num_workers=2, persistent_workers=True)
    given = with_steady_workers(asked, 7)
    start = dict(type=start_worker, num_workers=2, rank=0, seed=7)
    assert isinstance(given.pop('multiprocessing_context'), DeafContext)
    assert given == dict(asked, worker_init_fn=start, pin_memory=gpu) and 'pin_memory' not in asked
    assert with_steady_workers(dict(asked, pin_memory=not gpu), 7)['pin_memory'] is not gpu  # the config's own
    assert 'multiprocessing_context' not in with_steady_workers(dict(asked, worker_init_fn=print), 7)


def test_no_worker_persists_where_there_is_none() -> None:
    assert with_steady_workers(dict(num_workers=0, persistent_workers=True), None)['persistent_workers'] is False
    loader = object()
    assert with_steady_workers(loader, 1) is loader


def test_no_signal_reaches_a_worker_before_it_knows_what_to_do_with_it() -> None:
    def tell(to: Connection) -> None:
        to.send(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        os.kill(os.getpid(), signal.SIGINT)  # waits
        start_worker(0, 1, 0, 0)  # from here on it is ignored
        to.send(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    context = DeafContext()
    receive, send = context.Pipe(duplex=False)
    worker = context.Process(target=tell, args=(send, ))
    worker.start()
    assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert {signal.SIGINT, signal.SIGTERM} <= receive.recv()
    assert not {signal.SIGINT, signal.SIGTERM} & receive.recv()
    worker.join(10)
    assert worker.exitcode == 0


def test_ctrl_c_while_a_worker_is_forked_is_not_lost() -> None:
    # What Python calls after a fork cannot raise: there a KeyboardInterrupt would be printed and forgotten.
    armed, over = [], threading.Event()
    other = threading.Thread(target=over.wait, daemon=True)  # gets the signal, which the forking thread blocks
    other.start()

    def strike() -> None:
        if armed and other.ident is not None:
            armed.clear()
            signal.pthread_kill(other.ident, signal.SIGINT)
            time.sleep(0.1)  # in which this thread would raise

    os.register_at_fork(after_in_parent=strike)
    before = signal.getsignal(signal.SIGINT)
    worker = DeafContext().Process(target=int)
    armed.append(True)
    with pytest.raises(KeyboardInterrupt):
        worker.start()
    over.set()
    assert not armed and signal.getsignal(signal.SIGINT) is before
    worker.join()
