"""A model as the prediction of large images sees it: windows of a pair go in, change probabilities come out."""
from abc import ABC, abstractmethod
from hashlib import sha256
from typing import Optional

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
# So many pixels keep a CPU busy: windows of 256 px run twice as fast in fours, those of 512 px gain nothing.
CPU_PIXELS = 512**2


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

    @torch.inference_mode()
    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """uint8 RGB pairs (N, H, W, 6) to change probabilities (N, H, W)."""
        tensors = [torch.from_numpy(pair).permute(2, 0, 1) for pair in pairs]
        inputs = self.model.data_preprocessor(dict(inputs=tensors), False)['inputs']
        logits = self.model.encode_decode(inputs, [dict(img_shape=pairs.shape[1:3])] * len(pairs))
        return logits.sigmoid()[:, 0].float().cpu().numpy()

    def batch_size(self, tile: int) -> int:
        """On a GPU what its free memory holds; on a CPU, where more is not faster, one large window or a few small."""
        device = next(self.model.parameters()).device
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
