"""Loading of an image pair and of its change label."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ...io.labels import read_label
from ...io.pictures import read_rgb
from ...io.radiometry import check_value_range


@TRANSFORMS.register_module()
class LoadImagePair(BaseTransform):
    """Load both images of a pair into one `img`, (H, W, 6) uint8: channels 0-2 are A in RGB, 3-5 are B in RGB.

    RGB and not mmcv's usual BGR, because mmseg's ``SegDataPreProcessor`` swaps the channels of 3-channel inputs only.

    Required keys: ``img_path``, ``img_path2``. Added keys: ``img``, ``img_shape``, ``ori_shape``.

    Args:
        backend_args: Arguments of mmengine's file backend. Default None: by the prefix of the path.
        value_range: The values that become 0 and 255, for images of more than 8 bits; the same for all of them, and
            for ``mamba-cd predict --value-range``. Default None: such images are refused.

    Raises:
        OSError: A file that cannot be decoded to its end.
        ValueError: Images of different size, or of more than 8 bits per channel.
    """

    def __init__(self, backend_args: dict | None = None,
                 value_range: tuple[float, float] | None = None) -> None:
        check_value_range(value_range)
        self.backend_args = backend_args
        self.value_range = value_range

    def transform(self, results: dict) -> dict:
        """Add the pair and its size to ``results``."""
        a, b = (read_rgb(results[key], self.backend_args, self.value_range) for key in ('img_path', 'img_path2'))
        if a.shape != b.shape:
            raise ValueError(
                f'{results["img_path"]} is {_size(a)} pixels, but its counterpart {results["img_path2"]} is {_size(b)}'
                '; expected two images of one size that show the same ground. Co-register them or cut them alike.')
        results['img'] = np.concatenate([a, b], axis=2)
        results['img_shape'] = results['ori_shape'] = a.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args}, value_range={self.value_range})'


@TRANSFORMS.register_module()
class LoadChangeLabel(BaseTransform):
    """Load the change label of a pair into `gt_seg_map`, (H, W) uint8: 0 unchanged, 1 changed, 255 ignored.

    The place of mmseg's ``LoadAnnotations``, which maps no 255 to 1 and checks neither values nor size. Like there, it
    may follow a test-time augmentation: the size is compared with that of the image file.

    Required keys: ``seg_map_path``, ``ori_shape``, ``seg_fields``, ``ignore_value`` (optional). Added key:
    ``gt_seg_map``; it is appended to ``seg_fields``, which all geometric transforms of mmcv and mmseg follow.

    Args:
        backend_args: Arguments of mmengine's file backend. Default None: by the prefix of the path.

    Raises:
        OSError: A file that cannot be decoded to its end.
        ValueError: A label of another size than its images, or with other values than {0, 1} or {0, 255}.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add the change map to ``results``."""
        label = read_label(results['seg_map_path'], results.get('ignore_value'), self.backend_args)
        if label.shape != tuple(results['ori_shape']):
            height, width = results['ori_shape']
            raise ValueError(
                f'{results["seg_map_path"]} is {_size(label)} pixels, but its image {results["img_path"]} is '
                f'{width} x {height}; expected one label pixel per image pixel. Cut or rasterise the label alike.')
        results['gt_seg_map'] = label
        results['seg_fields'].append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args})'


def _size(array: np.ndarray) -> str:
    return f'{array.shape[1]} x {array.shape[0]}'
