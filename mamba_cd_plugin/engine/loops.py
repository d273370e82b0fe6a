"""mmengine's loops on the config's one data root, with a training that can be resumed at any iteration."""
import signal
import threading
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from mmseg.registry import LOOPS
from torch.utils.data import DataLoader

from ..datasets.data_root import with_data_root
from ..private_names import count_epoch
from .seeds import with_seeds
from .workers import with_steady_workers


class DataRootLoopMixin:
    """Hands the top-level `data_root` of the runner's config to the loop's data loader.

    mmengine copies values when it reads a config, so that ``data_root`` of a leaf or of ``--cfg-options`` cannot reach
    the loaders of its base by itself. A loop is the one exchangeable part that sees both the whole config and its
    loader's before the data set is built, whoever starts the runner: these tools, mmseg's or Open-CD's. The runner's
    config stays as it is, so that the config dumped with a run keeps the one key too.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> None:
        dataloader = with_data_root(dataloader, runner.cfg.get('data_root'))
        dataloader = self._prepare(with_steady_workers(dataloader, runner.seed))
        super().__init__(runner, dataloader, *args, **kwargs)  # type: ignore[call-arg]  # the loop's

    def _prepare(self, dataloader: Any) -> Any:
        """Changes to the loader's config; none by default."""
        return dataloader


class _TrainLoopMixin(DataRootLoopMixin):
    """Seeds every draw, refuses a loader that gives no batch, and leaves the process's signals as they were."""
    dataloader: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.dataloader) == 0:
            raise ValueError(
                f'the training split has {len(self.dataloader.dataset)} pairs, fewer than one batch of '
                f'{self.dataloader.batch_size}, and the incomplete last batch is dropped: nothing would be trained. '
                'Lower train_dataloader.batch_size or set train_dataloader.drop_last=False.')

    def _prepare(self, dataloader: Any) -> Any:
        return with_seeds(dataloader)

    def run(self) -> Any:
        """Train. ResumableCheckpointHook handles SIGTERM meanwhile; mmengine calls no hook where a training fails."""
        handler = signal.getsignal(signal.SIGTERM)
        try:
            return super().run()  # type: ignore[misc]  # the loop's
        finally:
            if threading.current_thread() is threading.main_thread() and handler is not None:
                signal.signal(signal.SIGTERM, handler)


@LOOPS.register_module()
class CDTrainLoop(_TrainLoopMixin, EpochBasedTrainLoop):
    """mmengine's epoch-based training loop, on the config's one `data_root`; it resumes also within an epoch.

    Raises:
        ValueError: The loader gives no batch, because it drops the last one and has fewer pairs than one batch.
    """

    def run_epoch(self) -> None:
        """Train the rest of an epoch: all of it, unless the run was stopped within."""
        done = self.iter - self.epoch * len(self.dataloader)
        sampler = self.dataloader.sampler
        if not 0 < done < len(self.dataloader) or not hasattr(sampler, 'skip'):
            super().run_epoch()
            return
        self.runner.logger.info(f'Epoch {self.epoch + 1} goes on after {done} of its {len(self.dataloader)} iterations')
        sampler.skip(done * self.dataloader.batch_size)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, data_batch in enumerate(self.dataloader, done):
            self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        count_epoch(self)


@LOOPS.register_module()
class CDIterTrainLoop(_TrainLoopMixin, IterBasedTrainLoop):
    """mmengine's training loop that counts iterations, on the config's one `data_root`; for an InfiniteSampler.

    Raises:
        ValueError: The loader gives no batch, because it drops the last one and has fewer pairs than one batch.
    """


@LOOPS.register_module()
class CDValLoop(DataRootLoopMixin, ValLoop):
    """mmengine's validation loop, on the config's one `data_root`."""


@LOOPS.register_module()
class CDTestLoop(DataRootLoopMixin, TestLoop):
    """mmengine's test loop, on the config's one `data_root`."""
