"""One `data_root` key for all three data loaders of a config.

The loops hand it on, which seed the draws and start the workers anyway. A data set cannot ask for it: mmengine keeps no
current config, and the report, the ablation and a notebook hold several in one process.
"""
import copy
from collections.abc import Iterator
from typing import Any

DATA_ROOT_ENV = 'MAMBA_CD_DATA'
HOW_TO_SET_DATA_ROOT = (
    'Point it at a folder with train|val|test / A, B, label in one of three ways: the environment variable '
    f"{DATA_ROOT_ENV}=PATH, --cfg-options data_root=PATH, or data_root = 'PATH' at the top level of the config (the "
    'last two reach the data set through the loops CDTrainLoop, CDValLoop and CDTestLoop).')


def with_data_root(dataloader: Any, data_root: str | None) -> Any:
    """A copy of a data loader's config, in which every data set without a `data_root` of its own gets this one.

    Args:
        dataloader: Config dict of a data loader; wrapped data sets (``dataset``, ``datasets``) are followed. Anything
            else, such as a built loader, is returned as it is.
        data_root: Default None: nothing is set.
    """
    if not isinstance(dataloader, dict) or not data_root:
        return dataloader
    dataloader = copy.deepcopy(dataloader)
    for dataset in innermost(dataloader.get('dataset')):
        if dataset.get('data_root') is None:
            dataset['data_root'] = data_root
    return dataloader


def innermost(dataset: Any) -> Iterator[dict]:
    """The configs of the data sets inside wrappers such as ConcatDataset, or that of the data set itself."""
    if not isinstance(dataset, dict):  # already built, or absent
        return
    wrapped = dataset.get('datasets', [dataset['dataset']] if 'dataset' in dataset else None)
    if wrapped is None:
        yield dataset
    else:
        for inner in wrapped:
            yield from innermost(inner)
