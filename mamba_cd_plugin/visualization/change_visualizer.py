"""Visualizer for image pairs: passes one picture per pair to every backend of mmengine."""
from typing import Any

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import LocalVisBackend
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from torch import Tensor

from ..io.files import output_file
from .drawing import draw_change_panel


@VISUALIZERS.register_module()
class ChangeVisualizer(SegLocalVisualizer):
    """Draw A | B | ground truth | prediction | error map, or A | B | prediction | overlay without ground truth.

    The picture goes to all configured backends alike (local files, TensorBoard, ...). See :func:`draw_change_panel` for
    the picture itself; the arguments are those of mmseg's ``SegLocalVisualizer``.
    """

    @master_only
    def add_datasample(self,
                       name: str,
                       image: np.ndarray,
                       data_sample: SegDataSample | None = None,
                       draw_gt: bool = True,
                       draw_pred: bool = True,
                       show: bool = False,
                       wait_time: float = 0,
                       out_file: str | None = None,
                       step: int = 0,
                       **kwargs: Any) -> None:
        """Draw one pair and give the picture to the backends.

        Args:
            name: Name of the picture; also its title.
            image: The pair, uint8 RGB (H, W, 6), A first.
            data_sample: Sample with ``pred_sem_seg`` and, where known, ``gt_sem_seg``, data (1, H, W).
            draw_gt: Use the ground truth.
            draw_pred: Must be True; part of mmseg's interface.
            show: Open a window instead of writing anything.
            wait_time: Seconds for which the window stays; 0 is forever.
            out_file: Write this file in place of the local backend's; the other backends get the picture as well.
            step: Global step of the picture, the epoch in training.
            **kwargs: Other options of mmseg's interface (class names on the picture); they have no meaning here.

        Raises:
            ValueError: When ``image`` has not six channels or there is no prediction.
        """
        if image.ndim != 3 or image.shape[2] != 6:
            raise ValueError(f'{name}: expected the pair as one (H, W, 6) array, A first, but got {image.shape}. '
                             'Concatenate the two RGB images along the last axis.')
        if data_sample is None or 'pred_sem_seg' not in data_sample or not draw_pred:
            raise ValueError(f'{name}: there is no prediction to draw (pred_sem_seg of the data sample, draw_pred).')
        truth = _mask(data_sample.gt_sem_seg.data) if draw_gt and 'gt_sem_seg' in data_sample else None
        panel = draw_change_panel(image[..., :3], image[..., 3:], _mask(data_sample.pred_sem_seg.data), truth, name)
        if show:
            self.show(panel, win_name=name, wait_time=wait_time)
        elif out_file is None:
            self.add_image(name, panel, step)
        else:
            self._write(out_file, name, panel, step)

    def _write(self, out_file: str, name: str, panel: np.ndarray, step: int) -> None:
        with output_file(out_file, option='the picture') as part:
            if not mmcv.imwrite(mmcv.rgb2bgr(panel), str(part)):
                raise OSError(f'Could not write the picture {out_file}: is the folder writable and the disk not full?')
        for backend in self._vis_backends.values():
            if not isinstance(backend, LocalVisBackend):
                backend.add_image(name, panel, step)


def _mask(data: Tensor) -> np.ndarray:
    """(1, H, W) of any dtype on any device -> uint8 (H, W)."""
    return data.squeeze(0).byte().cpu().numpy()  # bytes already in torch: NumPy has no bfloat16
