"""One `data_root` key for all three data loaders of a config."""
import copy
from typing import Any, Iterator, Optional, Union

from mmengine.runner import EpochBasedTrainLoop, Runner, TestLoop, ValLoop
from mmseg.registry import LOOPS
from torch.utils.data import DataLoader

DATA_ROOT_ENV = 'MAMBA_CD_DATA'
HOW_TO_SET_DATA_ROOT = (
    'Point it at a folder with train|val|test / A, B, label in one of three ways: the environment variable '
    f"{DATA_ROOT_ENV}=PATH, --cfg-options data_root=PATH, or data_root = 'PATH' at the top level of the config (the "
    'last two reach the data set through the loops CDTrainLoop, CDValLoop and CDTestLoop).')


def with_data_root(dataloader: Any, data_root: Optional[str]) -> Any:
    """A copy of a data loader's config, in which every data set without a `data_root` of its own gets this one.

    Args:
        dataloader: Config dict of a data loader; wrapped data sets (``dataset``, ``datasets``) are followed. Anything
            else, such as a built loader, is returned as it is.
        data_root: Default None: nothing is set.
    """
    if not isinstance(dataloader, dict) or not data_root:
        return dataloader
    dataloader = copy.deepcopy(dataloader)
    for dataset in _innermost(dataloader.get('dataset')):
        if dataset.get('data_root') is None:
            dataset['data_root'] = data_root
    return dataloader


def _innermost(dataset: Any) -> Iterator[dict]:
    if not isinstance(dataset, dict):  # already built, or absent
        return
    wrapped = dataset.get('datasets', [dataset['dataset']] if 'dataset' in dataset else None)
    if wrapped is None:
        yield dataset
    else:
        for inner in wrapped:
            yield from _innermost(inner)


class DataRootLoopMixin:
    """Hands the top-level `data_root` of the runner's config to the loop's data loader.

    mmengine copies values when it reads a config, so that ``data_root`` of a leaf or of ``--cfg-options`` cannot reach
    the loaders of its base by itself. A loop is the one exchangeable part that sees both the whole config and its
    loader's before the data set is built, whoever starts the runner: these tools, mmseg's or Open-CD's. The runner's
    config stays as it is, so that the config dumped with a run keeps the one key too.
    """

    def __init__(self, runner: Runner, dataloader: Union[DataLoader, dict], *args: Any, **kwargs: Any) -> None:
        dataloader = with_data_root(dataloader, runner.cfg.get('data_root'))
        if isinstance(dataloader, dict) and not dataloader.get('num_workers'):
            # torch refuses workers that persist where there are none, and num_workers=0 is what a user changes alone.
            dataloader = {**dataloader, 'persistent_workers': False}
        super().__init__(runner, dataloader, *args, **kwargs)  # type: ignore[call-arg]  # the loop's


@LOOPS.register_module()
class CDTrainLoop(DataRootLoopMixin, EpochBasedTrainLoop):
    """mmengine's epoch-based training loop, on the config's one `data_root`.

    Raises:
        ValueError: The loader gives no batch, because it drops the last one and has fewer pairs than one batch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.dataloader) == 0:
            raise ValueError(
                f'the training split has {len(self.dataloader.dataset)} pairs, fewer than one batch of '
                f'{self.dataloader.batch_size}, and the incomplete last batch is dropped: nothing would be trained. '
                'Lower train_dataloader.batch_size or set train_dataloader.drop_last=False.')


@LOOPS.register_module()
class CDValLoop(DataRootLoopMixin, ValLoop):
    """mmengine's validation loop, on the config's one `data_root`."""


@LOOPS.register_module()
class CDTestLoop(DataRootLoopMixin, TestLoop):
    """mmengine's test loop, on the config's one `data_root`."""
