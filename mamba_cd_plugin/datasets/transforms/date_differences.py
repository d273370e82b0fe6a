"""Transforms that make two images of one place differ without a change: camera and registration of each date."""
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ...synthetic.camera import Camera, misregister


@TRANSFORMS.register_module()
class RandomCamera(BaseTransform):
    """Photograph each date anew with a camera of its own, as generated scenes are.

    Cast, saturation, tone curve (gain, gamma, contrast, haze; a little different in each channel), softness or
    sharpening, noise and JPEG. Stronger than :class:`PairPhotoMetricDistortion`, in the place of which it stands.

    Required and modified key: ``img`` of shape (H, W, 6), uint8.

    Args:
        prob: Probability for each date by itself, in [0, 1].
        strength: Factor on the departures from the original picture; 1 is that of generated scenes.
    """

    def __init__(self, prob: float = 0.7, strength: float = 0.7) -> None:
        if not 0 <= prob <= 1 or strength <= 0:
            raise ValueError(f'prob = {prob}, strength = {strength}; expected a probability and a number above 0.')
        self.prob = prob
        self.strength = strength

    def transform(self, results: dict) -> dict:
        """Expose channels 0-2 and 3-5 of ``results['img']`` independently."""
        image = results['img'].copy()
        for channels in (slice(0, 3), slice(3, 6)):
            if np.random.rand() < self.prob:
                rng = np.random.default_rng(np.random.randint(2**31))
                light = image[..., channels].astype(np.float32) / 255
                image[..., channels] = Camera.random(rng, self.strength, neutral=True).expose(light, rng)
        results['img'] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, strength={self.strength})'


@TRANSFORMS.register_module()
class RandomMisregistration(BaseTransform):
    """Shift and bend one date by up to some pixels; the label stays, as it does in LEVIR-CD.

    Required and modified key: ``img`` of shape (H, W, 6).

    Args:
        prob: Probability, in [0, 1].
        largest: Bound of the offset in pixels.
        date: Date that moves: 0 for A, 1 for B. LEVIR-CD's labels lie on B; before ``RandomSwapDates`` that is
            known.
    """

    def __init__(self, prob: float = 0.5, largest: float = 2.0, date: int = 0) -> None:
        if not 0 <= prob <= 1 or largest <= 0 or date not in (0, 1):
            raise ValueError(f'prob = {prob}, largest = {largest}, date = {date}; expected a probability, a number of '
                             'pixels above 0, and 0 or 1.')
        self.prob = prob
        self.largest = largest
        self.date = date

    def transform(self, results: dict) -> dict:
        """Move one date of ``results['img']``."""
        if np.random.rand() < self.prob:
            rng = np.random.default_rng(np.random.randint(2**31))
            image = results['img'].copy()
            channels = slice(3 * self.date, 3 * self.date + 3)
            image[..., channels] = misregister(np.ascontiguousarray(image[..., channels]), rng, self.largest)
            results['img'] = image
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, largest={self.largest}, date={self.date})'
