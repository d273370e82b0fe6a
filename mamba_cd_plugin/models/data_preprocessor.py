"""Normalising a pair."""
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS


@MODELS.register_module()
class PairDataPreProcessor(SegDataPreProcessor):
    """mmseg's SegDataPreProcessor for the six channels of a pair.

    mmengine's image preprocessor takes one or three means only, and mmseg's swaps BGR to RGB only where it sees three
    channels, without a word for six. Here the means of one RGB image count for both dates, and a swap is refused.

    Args:
        mean: mean of R, G, B in 0..255.
        std: standard deviation of R, G, B in 0..255.
        **kwargs: see mmseg's SegDataPreProcessor.

    Raises:
        ValueError: if mean and std are not three numbers each, or a swap of the channels is asked for.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f'PairDataPreProcessor: mean and std are those of one RGB image (3 numbers), got '
                             f'{len(mean)} and {len(std)}; they are used for both dates')
        if kwargs.get('bgr_to_rgb') or kwargs.get('rgb_to_bgr'):
            raise ValueError('PairDataPreProcessor: the channels of a pair are never swapped; load the images as RGB '
                             '(LoadImagePair does)')
        super().__init__(**kwargs)
        self._enable_normalize = True
        self._non_blocking = True  # the host need not wait for copies out of pinned memory
        self.register_buffer('mean', torch.tensor([*mean, *mean]).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor([*std, *std]).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Normalise and stack a batch.

        Args:
            data: ``inputs``, per pair (6, H, W), and ``data_samples``.
            training: Whether the batch is padded as a training batch.

        Raises:
            ValueError: If the pairs of the batch differ in size.
        """
        sizes = [tuple(pair.shape[-2:]) for pair in data['inputs']]
        if len(set(sizes)) > 1:
            samples = data.get('data_samples') or [{}] * len(sizes)
            odd = next(index for index, size in enumerate(sizes) if size != sizes[0])
            names = [f'{samples[index].get("img_path", f"pair {index}")} is {sizes[index][0]} x {sizes[index][1]} px'
                     for index in (0, odd)]
            raise ValueError(
                f'the pairs of a batch differ in size: {" and ".join(names)} (height x width). Crop them to one size '
                'in the pipeline (RandomChangeCrop in training), or set batch_size=1 of this data loader')
        return super().forward(data, training)
