"""Hook that draws predictions of image pairs while validating and testing."""
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.runner import Runner
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...io.files import OutputFolder
from ...io.pictures import read_for_eye


@HOOKS.register_module()
class ChangeVisualizationHook(SegVisualizationHook):
    """Draw every n-th image pair of a validation or test with the visualizer of the runner.

    Unlike mmseg's hook it counts images from the start of each validation, so that the same pairs are drawn every time
    and their pictures can be compared from epoch to epoch (TensorBoard shows them behind one slider).

    Args:
        draw: Whether to draw at all. Default False, as in mmseg: pictures of large images fill a disk quickly.
        show_dir: Folder for the pictures of a test, ``<name of the image>.png``, instead of the visualizer's own.
        interval: Draw every n-th pair of the data set.
        max_images: Largest number of pictures per validation (a test is drawn completely); None for no limit.
        show: Open windows instead of writing files.
        wait_time: Seconds for which a window stays; 0 is forever.
        backend_args: File backend for reading the images.
    """

    def __init__(self,
                 draw: bool = False,
                 show_dir: str | None = None,
                 interval: int = 1,
                 max_images: int | None = 8,
                 show: bool = False,
                 wait_time: float = 0.,
                 backend_args: dict | None = None) -> None:
        if interval < 1:
            raise ValueError(f'ChangeVisualizationHook.interval must be at least 1, but got {interval}; '
                             'set draw=False to draw nothing.')
        # draw=True for the base class, which would otherwise warn at every start that nothing will be drawn.
        super().__init__(draw=True, interval=interval, show=show, wait_time=wait_time, backend_args=backend_args)
        self.draw = draw
        self.show_dir = show_dir
        self.max_images = max_images
        self._seen = 0
        self._drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Start counting images."""
        self._seen = self._drawn = 0

    def before_test_epoch(self, runner: Runner) -> None:
        """Start counting images, and refuse a folder in which pictures would lie over or among other files.

        Raises:
            ValueError: ``show_dir`` is a folder of the data or that of the masks, or two pairs have the same name.
            FileExistsError: It holds pictures of these names that this package did not make.
        """
        self._seen = self._drawn = 0
        dataset = runner.test_loop.dataloader.dataset
        if self.draw and self.show_dir and hasattr(dataset, 'get_data_info'):  # mmengine's; others show no paths
            infos = [dataset.get_data_info(index) for index in range(len(dataset))]
            keys = ('img_path', 'img_path2', 'seg_map_path')
            data = {str(Path(info[key]).parent) for info in infos for key in keys if info.get(key)}
            folder = OutputFolder(self.show_dir, data, 'show_dir')
            folder.refuse_foreign(f'{Path(info["img_path"]).stem}.png' for info in infos if info.get('img_path'))
            masks = [metric.output_dir for metric in runner.test_loop.evaluator.metrics
                     if getattr(metric, 'output_dir', None)]
            if any(Path(mask).resolve() == Path(self.show_dir).resolve() for mask in masks):
                raise ValueError(f'show_dir {self.show_dir}: is the folder of the predicted masks as well, whose files '
                                 'have the same names. Choose another folder for one of the two')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict,
                       outputs: Sequence[SegDataSample]) -> None:
        """Draw the pairs of one validation batch, under names that stay the same from epoch to epoch."""
        # The epoch as RuntimeInfoHook left it: runner.epoch would build the whole training loop when only validating.
        epoch = runner.message_hub.get_info('epoch', -1) + 1
        for name, pair, sample in self._chosen(data_batch, outputs, self.max_images):
            self._visualizer.add_datasample(
                f'val_{name}', pair, sample, show=self.show, wait_time=self.wait_time, step=epoch)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict,
                        outputs: Sequence[SegDataSample]) -> None:
        """Draw the pairs of one test batch, once even if the test runs by several protocols."""
        if not getattr(runner.test_loop, 'first_pass', True):
            return
        for name, pair, sample in self._chosen(data_batch, outputs, None):
            out_file = str(Path(self.show_dir) / f'{name}.png') if self.show_dir else None
            self._visualizer.add_datasample(
                f'test_{name}', pair, sample, show=self.show, wait_time=self.wait_time, out_file=out_file)

    def _chosen(self, data_batch: dict, outputs: Sequence[SegDataSample],
                limit: int | None) -> Iterator[tuple[str, np.ndarray, SegDataSample]]:
        """Name, images and sample of each pair that is to be drawn."""
        for index, sample in enumerate(outputs if self.draw else ()):
            wanted = self._seen % self.interval == 0 and (limit is None or self._drawn < limit)
            self._seen += 1
            if wanted:
                self._drawn += 1
                name = Path(sample.get('img_path', f'image_{self._seen}')).stem
                yield name, load_pair(sample, data_batch['inputs'], index, self.backend_args), sample


def load_pair(sample: SegDataSample,
              inputs: Sequence,
              index: int,
              backend_args: dict | None = None) -> np.ndarray:
    """The two images of a sample: from their files where these are named, else from the input of the network.

    Args:
        sample: May name the files as ``img_path`` and ``img_path2`` (``meta_keys`` of ``PackSegInputs``).
        inputs: ``data_batch['inputs']``: (6, H, W) per image, before normalisation; with test-time augmentation one
            such list per augmentation, of which the first must be the plain image.
        index: Index of the sample in the batch.
        backend_args: File backend for reading.

    Returns:
        uint8 RGB (H, W, 6), A first.
    """
    paths = [sample.get(key) for key in ('img_path', 'img_path2')]
    if all(paths):
        return np.concatenate([read_for_eye(path, backend_args) for path in paths], axis=2)
    image: Tensor = (inputs[0] if isinstance(inputs[0], (list, tuple)) else inputs)[index]
    return image.permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy()
