"""The data set of image pairs in the layout of LEVIR-CD."""
import os
import os.path as osp
from typing import Any

import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets import BaseCDDataset
from mmseg.registry import DATASETS

from ..io.files import own_outputs
from ..io.labels import read_label
from ..io.listing import read_names, sort_images
from ..io.pictures import IMAGE_SUFFIXES, shorten
from .data_root import DATA_ROOT_ENV, HOW_TO_SET_DATA_ROOT

# Folder of each file of a pair inside its split, as LEVIR-CD names them.
LEVIR_FOLDERS = {'img_path': 'A', 'img_path2': 'B', 'seg_map_path': 'label'}


@DATASETS.register_module()
class PairCDDataset(BaseCDDataset):
    """Pairs of co-registered images and their binary change label, in the layout of LEVIR-CD.

    ::

        data_root/
          train/              one folder per split
            A/      x.png     earlier image
            B/      x.png     later image
            label/  x.png     0 unchanged, 1 or 255 changed

    The files of a pair share their name; the suffix (png, jpg, jpeg, tif, tiff) of each is found on the disk, so that
    JPEG images with PNG labels need no option. Data whose splits are lists beside one set of folders are read by
    ``split='', ann_file='list/train.txt'``.

    Args:
        split: Folder of the split below ``data_root``, or '' where the three folders lie in ``data_root`` itself.
        data_root: Folder of the data. Default None: the environment variable ``MAMBA_CD_DATA``.
        ann_file: Optional list of names, one per line, see :func:`~mamba_cd_plugin.io.listing.read_names`; relative to
            ``data_root``. Without it all images of the split are used.
        data_prefix: Folders of A (``img_path``), B (``img_path2``) and the labels (``seg_map_path``) inside the split.
            Default: those of LEVIR-CD. ``seg_map_path=None`` for pairs without labels.
        ignore_value: Value in the label files that marks pixels without truth. Default None: there is none.
        check_labels: Whether a split whose labels hold no change at all is an error.
        **kwargs: Other arguments of :class:`mmseg.datasets.BaseCDDataset`.

    Raises:
        FileNotFoundError: No data root, or one of its folders or ``ann_file`` does not exist.
        ValueError: An empty split, an image without counterpart or label, a duplicate name, or no changed pixel.
    """

    METAINFO = dict(classes=('unchanged', 'changed'), palette=[[0, 0, 0], [255, 255, 255]])

    def __init__(self,
                 split: str = 'train',
                 data_root: str | None = None,
                 ann_file: str = '',
                 data_prefix: dict[str, str | None] | None = None,
                 ignore_value: int | None = None,
                 check_labels: bool = True,
                 **kwargs: Any) -> None:
        self.split = split
        self.ignore_value = ignore_value
        self.check_labels = check_labels
        folders = {**LEVIR_FOLDERS, **(data_prefix or {})}
        data_root = data_root or os.environ.get(DATA_ROOT_ENV)
        super().__init__(
            ann_file=ann_file,
            data_root=osp.expanduser(data_root) if data_root else None,
            data_prefix={key: osp.join(split, folder) for key, folder in folders.items() if folder is not None},
            **kwargs)

    def full_init(self) -> None:
        """Load the list of pairs, and look for the first changed pixel in its labels."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.check_labels and 'seg_map_path' in self.data_prefix:
            self._check_some_change()

    def load_data_list(self) -> list[dict]:
        """The paths of every pair, sorted by name or in the order of ``ann_file``."""
        self._check_folders()
        files = {key: self._list_images(folder) for key, folder in self.data_prefix.items()}
        present = set().union(*files.values())
        names = self._listed_names(present) if self.ann_file else sorted(present)
        self._check_counterparts(files, names)
        return [self._data_info({key: found[name] for key, found in files.items()}) for name in names]

    def _data_info(self, paths: dict[str, str]) -> dict:
        return {**paths, 'seg_fields': [], 'ignore_value': self.ignore_value,
                # Read by mmseg's LoadAnnotations and PackSegInputs.
                'label_map': self.label_map, 'reduce_zero_label': self.reduce_zero_label}

    def _check_folders(self) -> None:
        if self.data_root is None:
            raise FileNotFoundError(f'{type(self).__name__}: no data_root is set. {HOW_TO_SET_DATA_ROOT}')
        if not fileio.isdir(self.data_root, backend_args=self.backend_args):
            raise FileNotFoundError(f'data_root {self.data_root!r} is not a folder (seen from {os.getcwd()}). '
                                    f'{HOW_TO_SET_DATA_ROOT}')
        for folder in self.data_prefix.values():
            if not fileio.isdir(folder, backend_args=self.backend_args):
                present = sorted(fileio.list_dir_or_file(
                    self.data_root, list_file=False, backend_args=self.backend_args))
                raise FileNotFoundError(
                    f'{folder} is not a folder; {self.data_root} holds: {shorten(present) or "nothing"}. Expected the '
                    f'folders {", ".join(self.data_prefix.values())}. Set `split` (now {self.split!r}) and '
                    f'`data_prefix` of the data set to what is there. {HOW_TO_SET_DATA_ROOT}')

    def _list_images(self, folder: str) -> dict[str, str]:
        """Path of each image below ``folder`` by its name without suffix."""
        found, others, doubles = sort_images(fileio.list_dir_or_file(
            folder, list_dir=False, recursive=True, backend_args=self.backend_args))
        if doubles:
            raise ValueError(f'{folder} holds {" and ".join(doubles[0])}: which of them belongs to the pair is '
                             'unclear. Expected one file per name: remove or rename one.')
        if not found:
            raise ValueError(f'{folder} holds no image; expected files with the suffix {", ".join(IMAGE_SUFFIXES)}, '
                             f'found: {shorten(others) or "nothing"}. Fill the split, or set `split` to another.')
        return {name: osp.join(folder, file) for name, file in found.items()}

    def _listed_names(self, known: set[str]) -> list[str]:
        if not fileio.isfile(self.ann_file, backend_args=self.backend_args):
            raise FileNotFoundError(f'ann_file {self.ann_file} is not a file; expected a list with one image name per '
                                    'line. Relative paths start at data_root.')
        return read_names(self.ann_file, known, self.backend_args)

    def _check_counterparts(self, files: dict[str, dict[str, str]], names: list[str]) -> None:
        gaps, alone = [], set()
        for key, folder in self.data_prefix.items():
            missing = [name for name in names if name not in files[key]]
            alone.update(missing)
            if missing:
                gaps.append(f'{folder} ({len(files[key])} images) lacks {shorten(missing)}')
        if gaps:
            results = [found[name] for found in files.values() for name in alone & set(found)
                       if osp.basename(found[name]) in own_outputs(osp.dirname(found[name]))]
            hint = f' {shorten(sorted(results))} were written there as results: move them.' if results else ''
            raise ValueError(f'{"; ".join(gaps)}. Expected each of the {len(names)} names of the split once in every '
                             f'one of {", ".join(self.data_prefix.values())}: add the missing files or remove their '
                             f'counterparts.{hint}')

    def find_changed(self) -> np.ndarray:
        """Whether each pair's label holds a changed pixel, bool (N,); reads every label."""
        return np.array([self._shows_change(index) for index in range(len(self))], bool)

    def _shows_change(self, index: int) -> bool:
        path = self.get_data_info(index)['seg_map_path']
        return bool((read_label(path, self.ignore_value, self.backend_args) == 1).any())

    def _check_some_change(self) -> None:
        if any(self._shows_change(index) for index in range(len(self))):
            return
        raise ValueError(
            f'none of the {len(self)} labels in {self.data_prefix["seg_map_path"]} holds a changed pixel; expected '
            'some with 1 or 255: on labels that are all 0 a model learns to predict nothing, and F1 is undefined. '
            'Check how the labels were made, or set check_labels=False of the data set if that is what you want.')
