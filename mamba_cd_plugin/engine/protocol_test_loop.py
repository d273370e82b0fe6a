"""Test loop that scores the test set once per protocol: on whole images and on 256 x 256 tiles."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.config import ConfigDict
from mmengine.dist import all_gather_object
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.runner import Runner, TestLoop
from mmseg.registry import LOOPS
from prettytable import PrettyTable
from torch import nn
from torch.utils.data import DataLoader

from ..evaluation import ChangeMetric
from .loops import DataRootLoopMixin

WHOLE = 'whole'


@LOOPS.register_module()
class ProtocolTestLoop(DataRootLoopMixin, TestLoop):
    """Run the test set as whole images, then as non-overlapping tiles, and label each result with its protocol.

    Whole 1024 images and 256 tiles of the same data score 0.4 to 1 F1 apart, so a figure without its protocol says
    little. The tiles are mmseg's own sliding window with the stride equal to the crop: no pixel is seen twice, and the
    result is that of a data set cut into these tiles. Metrics come out as ``whole/changed_F1`` and
    ``tiles256/changed_F1``.

    ::

        pass 1: model.test_cfg = whole  ->  sizes of the images  ->  which protocols are possible
        pass 2: model.test_cfg = slide, crop = stride = tile         (only where every side is a multiple of the tile)

    The model's own ``test_cfg`` is put back afterwards. Masks (``--out``) and pictures come from the first pass only.

    Args:
        runner: The runner.
        dataloader: The test loader or its config.
        evaluator: The evaluator or its config.
        fp16: Run the model under fp16 autocast.
        tile: Side of the tiles in pixels; None tests whole images only.
    """

    def __init__(self,
                 runner: Runner,
                 dataloader: DataLoader | dict,
                 evaluator: Evaluator | dict | list,
                 fp16: bool = False,
                 tile: int | None = 256) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if tile is not None and tile < 1:
            raise ValueError(f'test_cfg.tile must be a side in pixels, or None for whole images only, but got {tile}.')
        self.tile = tile
        self.first_pass = True
        self._sizes: set[tuple[int, int]] = set()

    def run(self) -> dict[str, float]:
        """Test by every protocol that the images allow.

        Returns:
            The metrics of all protocols, each key with its protocol in front.
        """
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        metrics = self._run_protocols()
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    def run_iter(self, idx: int, data_batch: dict[str, Sequence]) -> None:
        """Test one batch and remember the sizes of its images."""
        self._sizes |= image_sizes(data_batch)
        super().run_iter(idx, data_batch)

    def _run_protocols(self) -> dict[str, float]:
        segmentor = unwrap_segmentor(self.runner.model)
        self.first_pass, self._sizes = True, set()
        print_log('Testing on whole images', logger='current')
        with test_mode(segmentor, None):
            scores = self._run_pass()
        sizes = set().union(*all_gather_object(self._sizes))
        name, tiled, reason = choose_protocols(sizes, self.tile)
        report = {name: (scores, self._scored_pixels())}
        print_log(reason, logger='current')
        if tiled and scores:
            self.first_pass = False
            with test_mode(segmentor, self.tile), _without_masks(self.evaluator):
                report[tiled] = (self._run_pass(), self._scored_pixels())
        print_log(protocol_table(report, len(self.dataloader.dataset)), logger='current')
        return {f'{protocol}/{key}': value for protocol, (scores, _) in report.items() for key, value in scores.items()}

    def _run_pass(self) -> dict[str, float]:
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        return self.evaluator.evaluate(len(self.dataloader.dataset))

    def _scored_pixels(self) -> int | None:
        for metric in self.evaluator.metrics:
            if isinstance(metric, ChangeMetric) and metric.confusion is not None:
                return int(metric.confusion.sum())
        return None


def choose_protocols(sizes: set[tuple[int, int]], tile: int | None) -> tuple[str, str | None, str]:
    """Name the protocol of the first pass, the one of the second (or None), and say why.

    Args:
        sizes: Heights and widths that occur in the test set.
        tile: Side of a tile, or None.
    """
    tiled = f'tiles{tile}'
    if tile is None:
        return WHOLE, None, 'Only whole images are tested: test_cfg.tile is None.'
    if sizes == {(tile, tile)}:
        return tiled, None, f'Every image is one tile of {tile} x {tile}: the result is that of the protocol {tiled}.'
    odd = sorted(size for size in sizes if size[0] % tile or size[1] % tile)
    if odd:
        height, width = odd[0]
        return WHOLE, None, (f'No {tiled} protocol: images of {height} x {width} pixels cannot be cut into tiles of '
                             f'{tile} x {tile} without overlap or a rest.')
    return WHOLE, tiled, f'Testing on the {tile} x {tile} tiles of the same images'


def image_sizes(data_batch: dict[str, Sequence]) -> set[tuple[int, int]]:
    """Heights and widths of the labels of one batch, with or without test-time augmentation."""
    samples = data_batch['data_samples']
    if samples and isinstance(samples[0], (list, tuple)):  # [augmentation][image]
        samples = samples[0]
    return {(int(sample.ori_shape[0]), int(sample.ori_shape[1])) for sample in samples}


def unwrap_segmentor(model: nn.Module) -> nn.Module:
    """The segmentor that owns ``test_cfg``, inside test-time augmentation and distributed wrappers.

    Raises:
        TypeError: When there is none.
    """
    inner: Any = model
    while not hasattr(inner, 'test_cfg') and hasattr(inner, 'module'):
        inner = inner.module
    if not hasattr(inner, 'test_cfg'):
        raise TypeError('ProtocolTestLoop needs an mmseg segmentor with a test_cfg, but the model is a '
                        f"{type(inner).__name__}. Use CDTestLoop for it.")
    return inner


def protocol_table(report: dict[str, tuple[dict[str, float], int | None]], num_images: int) -> str:
    """A table for the log: one row per protocol, scores in percent.

    Args:
        report: Scores as fractions and the number of scored pixels, per protocol.
        num_images: Length of the data set.
    """
    columns = list(dict.fromkeys(key for scores, _ in report.values() for key in scores))
    table = PrettyTable(['protocol', 'images', 'scored pixels', *columns])
    for name, (scores, pixels) in report.items():
        values = [f'{100 * scores[key]:.2f}' if key in scores else '-' for key in columns]
        table.add_row([name, num_images, '-' if pixels is None else f'{pixels:,}', *values])
    return f'Results by protocol, in percent\n{table.get_string()}'


@contextmanager
def test_mode(segmentor: nn.Module, tile: int | None) -> Iterator[None]:
    """Let the segmentor predict in another mode for a while; the other keys of its test_cfg stay.

    Args:
        segmentor: The owner of ``test_cfg``.
        tile: Side of the tiles that are predicted one by one, in pixels; None for whole images.
    """
    mode = dict(mode='whole') if tile is None else dict(mode='slide', crop_size=(tile, ) * 2, stride=(tile, ) * 2)
    own: Any = segmentor.test_cfg
    segmentor.test_cfg = ConfigDict({**(own or {}), **mode})
    try:
        yield
    finally:
        segmentor.test_cfg = own


@contextmanager
def _without_masks(evaluator: Evaluator) -> Iterator[None]:
    """Keep the masks of the first pass: the second would overwrite them under the same names."""
    writing = [(metric, metric.output_dir) for metric in evaluator.metrics if getattr(metric, 'output_dir', None)]
    for metric, _ in writing:
        metric.output_dir = None
    try:
        yield
    finally:
        for metric, output_dir in writing:
            metric.output_dir = output_dir
