"""mmengine's loops on the config's one data root, with a training that can be resumed at any iteration."""
import copy
import signal
import threading
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, TestLoop, ValLoop
from mmseg.registry import LOOPS
from torch.utils.data import DataLoader

from ..datasets.data_root import innermost, with_data_root
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
        dataloader = self._complete(runner, dataloader)
        super().__init__(runner, dataloader, *args, **kwargs)  # type: ignore[call-arg]  # the loop's

    def _complete(self, runner: Runner, dataloader: Any) -> Any:
        """A loader's config with the data root, our workers and the changes of the loop."""
        dataloader = with_data_root(dataloader, runner.cfg.get('data_root'))
        return self._prepare(with_steady_workers(dataloader, runner.seed))

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


def with_small_crops(dataloader: Any, divisor: int) -> dict:
    """The config of a loader whose crops have smaller sides, with as many pixels in a batch and batches in an epoch.

    Args:
        dataloader: The loader's config.
        divisor: Of both sides.

    Raises:
        ValueError: If it is not a config with a transform that crops and a ChangeBalancedSampler, or if a side cannot
            be divided.
    """
    try:
        sampler, dataset, batch_size = (copy.deepcopy(dataloader[key]) for key in ('sampler', 'dataset', 'batch_size'))
        pipelines = [each['pipeline'] for each in innermost(dataset)]
        croppings = [step for steps in pipelines for step in steps if 'crop_size' in step]
        if len(croppings) != len(pipelines):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError('train_cfg.small_crops needs a train_dataloader with one transform that has a crop_size, such '
                         'as RandomChangeCrop, in each pipeline') from error
    if sampler['type'] != 'ChangeBalancedSampler':
        raise ValueError('train_cfg.small_crops needs the ChangeBalancedSampler, which can show more pairs in an '
                         f'epoch; train_dataloader.sampler is {sampler["type"]}')
    for step in croppings:
        step['crop_size'] = _divide('a crop', step['crop_size'], divisor)
    for step in (step for steps in pipelines for step in steps):  # what fills up images that are smaller than a crop
        if step.get('type') == 'Pad' and step.get('size') is not None:
            step['size'] = _divide('a Pad', step['size'], divisor)
    factor = divisor**2
    return {**dataloader, 'batch_size': factor * batch_size, 'dataset': dataset,
            'sampler': {**sampler, 'rounds': factor * sampler.get('rounds', 1)}}


def _divide(what: str, size: int | tuple[int, int], divisor: int) -> tuple[int, int]:
    """Both sides divided, whichever is the height: mmcv's Pad takes the width first."""
    sides = (size, size) if isinstance(size, int) else size
    if divisor < 2 or any(side % divisor for side in sides):
        raise ValueError(f'train_cfg.small_crops: {what} of {sides[0]} x {sides[1]} pixels cannot be divided by '
                         f'{divisor}')
    return sides[0] // divisor, sides[1] // divisor


@LOOPS.register_module()
class CDTrainLoop(_TrainLoopMixin, EpochBasedTrainLoop):
    """mmengine's epoch-based training loop, on the config's one `data_root`; it resumes and ends also within an epoch.

    Args:
        runner: See mmengine's EpochBasedTrainLoop, as for all arguments but ``small_crops``.
        dataloader: Its config, or a loader.
        small_crops: ``dict(share=0.4, divisor=2)``: the first share of the epochs is trained on crops of half the
            sides, four times as many in a batch, so that the numbers of pixels and of iterations stay the same. On them
            the small V8 learns from random weights at once; on large ones it stays on a plateau at first. It takes a
            transform with ``crop_size`` and a :class:`~mamba_cd_plugin.datasets.ChangeBalancedSampler`.
        *args: In mmengine's order.
        **kwargs: By name.

    Raises:
        ValueError: The loader gives no batch, because it drops the last one and has fewer pairs than one batch; or
            ``small_crops`` does not fit the loader.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args: Any,
                 small_crops: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, *args, **kwargs)
        self._small_share = small_crops['share'] if small_crops else 0.
        self._small_loader = with_small_crops(dataloader, small_crops['divisor']) if small_crops else None
        self._large_loader: DataLoader | None = None

    def _choose_loader(self) -> None:
        """Put the loader of the small crops in the place of the config's, or back."""
        small = self.epoch < self._small_share * self.max_epochs
        if small and self._large_loader is None:
            self._large_loader = self.dataloader
            # The same pairs: what their labels show is known.
            sampler = {**self._small_loader['sampler'], 'shows_change': self.dataloader.sampler.sampler.shows_change}
            self.dataloader = self.runner.build_dataloader(
                self._complete(self.runner, {**self._small_loader, 'sampler': sampler}), seed=self.runner.seed)
            if len(self.dataloader) != len(self._large_loader):
                raise ValueError(f'train_cfg.small_crops: an epoch has {len(self.dataloader)} iterations on small '
                                 f'crops and {len(self._large_loader)} on large ones; expected the same. Set '
                                 'train_dataloader.drop_last=True')
        elif not small and self._large_loader is not None:
            self.dataloader, self._large_loader = self._large_loader, None

    def run_epoch(self) -> None:
        """Train the rest of an epoch: all of it, unless the run was stopped within, or a hook sets `stop_training`."""
        self._choose_loader()
        done = self.iter - self.epoch * len(self.dataloader)
        sampler = self.dataloader.sampler
        if 0 < done < len(self.dataloader) and hasattr(sampler, 'skip'):
            self.runner.logger.info(
                f'Epoch {self.epoch + 1} goes on after {done} of its {len(self.dataloader)} iterations')
            sampler.skip(done * self.dataloader.batch_size)
        else:
            done = 0
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, data_batch in enumerate(self.dataloader, done):
            self.run_iter(index, data_batch)
            if self.stop_training:
                break
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
