"""Exchange of the two dates of a pair."""
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomSwapDates(BaseTransform):
    """Exchange A and B with probability `prob`; the label stays, because change has no direction in it.

    Required key: ``img`` of shape (H, W, 6). Modified keys: ``img``, and ``img_path`` and ``img_path2`` where they are
    there, so that they keep naming the file of channels 0-2 and of channels 3-5.

    Args:
        prob: Probability of the exchange, in [0, 1].
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob is {prob}; expected a probability from 0 to 1.')
        self.prob = prob

    @cache_randomness
    def _swap(self) -> bool:
        return np.random.rand() < self.prob

    def transform(self, results: dict) -> dict:
        """Exchange the dates in ``results`` or leave them."""
        if self._swap():
            results['img'] = np.roll(results['img'], 3, axis=2)
            if 'img_path' in results and 'img_path2' in results:
                results['img_path'], results['img_path2'] = results['img_path2'], results['img_path']
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
