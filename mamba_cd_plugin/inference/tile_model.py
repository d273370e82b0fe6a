"""A model as the prediction of large images sees it: windows of a pair go in, change probabilities come out."""
from abc import ABC, abstractmethod
from contextlib import contextmanager
from hashlib import sha256
from typing import Iterator, Optional

import numpy as np
import torch
from torch import nn

from .windows import ALIGN

# The views that are averaged: those of the configs' tta_pipeline, so that `tools/test.py --tta` has scored what
# is predicted here.
FLIPS = ((), (2, ), (1, ))
# Of the free memory of a GPU; the rest is for fragments and for what else runs there.
MEMORY_SHARE = 0.7
MAX_BATCH = 32  # a GPU is filled long before
# A step of a CPU: more pixels at once fall out of its caches, and windows of 256 px gain a seventh in fours.
CPU_PIXELS = 512**2
MAX_WORKERS = 4  # at CPU_PIXELS each, they take about 1 GB


class TileModel(ABC):
    """What windows are given to.

    Attributes:
        threshold: Probability above which a pixel is changed.
        fill: Colour (3,), uint8, of pixels without data: the mean colour of the training, which the model reads as 0.
        side: The only window side in pixels that the model takes; None if it takes any.
        align: Windows start at multiples of it. Where it is more than 1, the last window of a row or column is longer
            than the others by up to ``align - 1`` pixels.
        identity: Tells this model from any other, for resuming.
    """

    threshold: float
    fill: np.ndarray
    side: Optional[int] = None
    align: int = ALIGN
    identity: str

    @abstractmethod
    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """uint8 RGB pairs (N, H, W, 6), A first, to change probabilities (N, H, W), float32."""

    def batch_size(self, tile: int) -> int:
        """How many windows of this side one step takes, as the memory allows."""
        return 1

    @contextmanager
    def workers(self, tile: int) -> Iterator[int]:
        """How many threads may call :meth:`predict` at once with windows of this side, inside this context."""
        yield 1

    def predict(self, pairs: np.ndarray, flips: bool) -> np.ndarray:
        """Change probabilities of a batch, with ``flips`` the mean over the views.

        Raises:
            ValueError: If one is NaN.
        """
        views = [np.flip(self.forward(np.ascontiguousarray(np.flip(pairs, axes))), axes)
                 for axes in (FLIPS if flips else FLIPS[:1])]
        mean = sum(views) / np.float32(len(views))
        if not np.isfinite(mean).all():
            raise ValueError('the model gave NaN probabilities; its weights are damaged, or it diverged in training')
        return mean


class TorchTileModel(TileModel):
    """An mmseg segmentor.

    Args:
        model: The segmentor, on its device.
        cfg: Its config, which is part of its identity.
    """

    def __init__(self, model: nn.Module, cfg: dict) -> None:
        self.model = model.eval()
        self.threshold = float(model.decode_head.threshold)
        self.fill = model.data_preprocessor.mean.flatten()[:3].round().byte().cpu().numpy()
        digest = sha256(repr(cfg).encode())
        for name, tensor in model.state_dict().items():
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        self.identity = digest.hexdigest()

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.inference_mode()
    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """uint8 RGB pairs (N, H, W, 6) to change probabilities (N, H, W).

        Raises:
            ValueError: If they do not fit into the memory of the GPU.
        """
        tensors = [torch.from_numpy(pair).permute(2, 0, 1) for pair in pairs]
        count, *shape = pairs.shape[:3]
        try:
            inputs = self.model.data_preprocessor(dict(inputs=tensors), False)['inputs']
            logits = self.model.encode_decode(inputs, [dict(img_shape=tuple(shape))] * count)
        except torch.cuda.OutOfMemoryError as error:
            raise ValueError(f'{count} windows of {shape[0]} x {shape[1]} px at once do not fit into the memory of '
                             f'{self._device}; choose a smaller --batch-size or --tile, or --device cpu') from error
        return logits.sigmoid()[:, 0].float().cpu().numpy()

    @contextmanager
    def workers(self, tile: int) -> Iterator[int]:
        """On a CPU the cores are shared out among the windows.

        Threads that work on one window together wait for each other after every operator, and for long where other
        programs run: on two cores, each half taken, that made a window ten times slower.
        """
        cores = torch.get_num_threads()
        fitting = max(1, min(MAX_WORKERS, MAX_WORKERS * CPU_PIXELS // tile**2))
        count = min(cores, fitting) if self._device.type == 'cpu' else 1
        torch.set_num_threads(cores // count)
        try:
            yield count
        finally:
            torch.set_num_threads(cores)

    def batch_size(self, tile: int) -> int:
        """On a GPU what its free memory holds; on a CPU, where more is not faster, one large window or a few small."""
        device = self._device
        if device.type != 'cuda':
            return max(1, CPU_PIXELS // tile**2)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        self.forward(np.zeros((1, tile, tile, 6), np.uint8))
        needed = torch.cuda.max_memory_allocated(device) - before
        torch.cuda.empty_cache()
        return batch_that_fits(torch.cuda.mem_get_info(device)[0], needed)


def batch_that_fits(free: int, needed: int) -> int:
    """How many windows fit into ``free`` bytes when one takes ``needed``; at least one."""
    return int(max(1, min(MAX_BATCH, MEMORY_SHARE * free // max(needed, 1))))
