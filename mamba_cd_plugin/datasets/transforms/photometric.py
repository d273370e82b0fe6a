"""Photometric distortion of each date by itself."""
import numpy as np
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PairPhotoMetricDistortion(PhotoMetricDistortion):
    """mmseg's photometric distortion, drawn anew for each of the two images of a pair.

    Season, sun and sensor differ between the dates and are no change, so each date gets its own brightness, contrast,
    saturation and hue. mmseg's code takes its 3 channels for BGR; on RGB it does the same, only with hue shifts of the
    opposite sign, because swapping red and blue mirrors the hue circle and leaves saturation and value alone.

    Required and modified key: ``img`` of shape (H, W, 6), uint8. The arguments are mmseg's: ``brightness_delta``,
    ``contrast_range``, ``saturation_range`` and ``hue_delta``.
    """

    def transform(self, results: dict) -> dict:
        """Distort channels 0-2 and 3-5 of ``results['img']`` independently."""
        dates = np.split(results['img'], 2, axis=2)
        # cv2 converts colours only in contiguous memory.
        distorted = [super(PairPhotoMetricDistortion, self).transform(dict(img=np.ascontiguousarray(date)))['img']
                     for date in dates]
        results['img'] = np.concatenate(distorted, axis=2)
        return results
