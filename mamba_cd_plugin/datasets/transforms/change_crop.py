"""A random crop that favours changed pixels."""
from collections.abc import Sequence

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomChangeCrop(RandomCrop):
    """Crop pair and label alike; with some probability the window holds a changed pixel.

    Few pixels change (about 5 % in LEVIR-CD), so that most uniform crops show no change and teach only one class. With
    probability ``change_prob`` a changed pixel is drawn uniformly, and then a window uniformly among those inside the
    image that hold it. Otherwise, and where nothing is changed, the window is uniform as in mmseg's ``RandomCrop``.

    An image smaller than the crop stays as it is on that side: mmcv's ``Pad(size=...)`` after this transform fills it
    up (label: 255, ignored).

    Required keys: ``img``, ``gt_seg_map``, ``seg_fields``. Modified keys: ``img``, ``gt_seg_map``, ``img_shape``.

    Args:
        crop_size: (height, width), or one number for both.
        change_prob: Probability of a window around a changed pixel, in [0, 1].
    """

    def __init__(self, crop_size: int | Sequence[int], change_prob: float = 0.5) -> None:
        super().__init__(crop_size if isinstance(crop_size, int) else tuple(crop_size))  # --cfg-options gives a list
        if not 0 <= change_prob <= 1:
            raise ValueError(f'change_prob is {change_prob}; expected a probability from 0 to 1.')
        self.change_prob = change_prob

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """The window (y1, y2, x1, x2); it may reach beyond an image that is smaller than the crop."""
        label = results['gt_seg_map']
        centre = (None, None)
        if np.random.rand() < self.change_prob:
            changed = np.flatnonzero(label == 1)
            if changed.size:
                centre = divmod(int(changed[np.random.randint(changed.size)]), label.shape[1])
        (y1, y2), (x1, x2) = (self._span(*axis) for axis in zip(label.shape, self.crop_size, centre))
        return y1, y2, x1, x2

    @staticmethod
    def _span(length: int, crop: int, inside: int | None) -> tuple[int, int]:
        """Start and end of the window along one axis, drawn uniformly among those that hold the pixel ``inside``."""
        first, last = 0, max(length - crop, 0)
        if inside is not None:
            first, last = max(first, inside - crop + 1), min(last, inside)
        start = np.random.randint(first, last + 1)
        return start, start + crop

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop_size={self.crop_size}, change_prob={self.change_prob})'
