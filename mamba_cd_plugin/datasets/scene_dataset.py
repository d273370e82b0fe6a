"""Generated scenes as a data set without files: each is drawn on demand in the workers of the loader."""
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from mmengine.dataset import DefaultSampler
from mmseg.datasets import BaseCDDataset
from mmseg.registry import DATA_SAMPLERS, DATASETS

from ..synthetic import NUISANCES, Size, check_nuisances, check_size, generate_pair, warm_up
from .pair_dataset import PairCDDataset


@DATASETS.register_module()
class SyntheticCDDataset(BaseCDDataset):
    """Pairs of generated scenes, drawn in memory: scene i is the same for the same seed, on any worker.

    What :class:`~mamba_cd_plugin.datasets.LoadImagePair` and ``LoadChangeLabel`` load for files is here from the start:
    ``img`` of shape (H, W, 6) and ``gt_seg_map`` (H, W), 0 unchanged and 1 changed. The pipeline begins with the
    augmentation.

    The numbers of scenes have no end: with :class:`FreshSceneSampler` every epoch shows scenes that were never seen
    before. With mmengine's samplers the first ``length`` scenes come again in each epoch.

    Args:
        length: Scenes in an epoch.
        size: Size of a scene in pixels, one number or (height, width).
        seed: The scenes of two seeds have nothing in common. The written data sets of
            ``tools/dataset_converters/synthetic.py`` have none in common with these either.
        easy: Whether the dates are alike and mostly show change; see :func:`mamba_cd_plugin.synthetic.generate_pair`.
        nuisances: What differs between the dates beside buildings; see there.
        quiet_share: Share of scenes in which no building may change; see there.
        **kwargs: ``pipeline`` and others of :class:`mmseg.datasets.BaseCDDataset`.

    Raises:
        ValueError: If a number makes no sense.
    """

    METAINFO = PairCDDataset.METAINFO

    def __init__(self, length: int = 2000, size: Size = 256, seed: int = 0, easy: bool = False,
                 nuisances: Collection[str] = NUISANCES, quiet_share: float | None = None, **kwargs: Any) -> None:
        if length < 1 or seed < 0:
            raise ValueError(f'length = {length}, seed = {seed}; expected at least 1 scene and a seed >= 0')
        self.length = length
        self.size = check_size(size)
        self.seed = seed
        check_nuisances(nuisances, quiet_share)
        self.scenes: dict[str, Any] = dict(easy=easy, nuisances=tuple(nuisances), quiet_share=quiet_share)
        super().__init__(**{**kwargs, 'serialize_data': False})  # there is no list to share between workers

    def full_init(self) -> None:
        """Draw the stored textures, which the workers then share."""
        if not self._fully_initialized:
            warm_up()
        super().full_init()

    def load_data_list(self) -> list[dict]:
        """Nothing: there are no files."""
        return []

    def __len__(self) -> int:
        return self.length

    def get_data_info(self, idx: int) -> dict:
        """Scene number ``idx``, which may lie beyond the length."""
        # The 1 tells these seeds from those of written data sets, which have three numbers.
        pair = generate_pair((self.seed, 1, int(idx), 1), self.size, **self.scenes)
        name = f'scene_{self.seed}_{idx}'
        return dict(img=np.concatenate([pair.a, pair.b], axis=2), gt_seg_map=pair.label // 255, img_path=name,
                    img_path2=name, seg_map_path=name, img_shape=self.size, ori_shape=self.size, sample_idx=idx,
                    seg_fields=['gt_seg_map'], reduce_zero_label=False)


@DATA_SAMPLERS.register_module()
class FreshSceneSampler(DefaultSampler):
    """mmengine's sampler, with numbers that continue from epoch to epoch instead of starting again at 0.

    For :class:`SyntheticCDDataset`: epoch e of n scenes has the scenes e * n to e * n + n - 1, so that no scene comes
    twice, a resumed run continues where it stopped, and several processes have no scene in common.
    """

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * len(self.dataset)
        return (start + index for index in super().__iter__())
