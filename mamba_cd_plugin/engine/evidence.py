"""Collects the facts about a running training that a diagnosis needs."""
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from ..io.pictures import IGNORE_INDEX
from .diagnosis import Evidence

LabelPixels = Tuple[int, int, int]


def loss_history(runner: Runner) -> Dict[str, np.ndarray]:
    """Value per iteration of every loss term, also from before a resume; their sum is ``loss``."""
    scalars = runner.message_hub.log_scalars
    return {key[len('train/'):]: buffer.data[0] for key, buffer in scalars.items()
            if key.startswith('train/') and 'loss' in key}


def gather_evidence(runner: Runner, data_batch: dict, label_pixels: LabelPixels = (0, 0, 0),
                    gradients: bool = False) -> Evidence:
    """Collect the facts about a run.

    Args:
        runner: The runner, while training.
        data_batch: The last training batch.
        label_pixels: Pixels of the labels seen so far, from :func:`count_labels`.
        gradients: Also measure the gradient of every loss term on that batch, by one more forward pass.
    """
    scalars = runner.message_hub.log_scalars
    scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)  # only AmpOptimWrapper has one
    return Evidence(
        label_pixels=label_pixels,
        losses=loss_history(runner),
        rates=scalars['train/lr'].data[0] if 'train/lr' in scalars else np.zeros(0),
        gradient_norms=gradient_norms(runner.model, data_batch) if gradients else {},
        loss_scale=None if scaler is None else float(scaler.get_scale()),
        batch_label_pixels=count_labels(data_batch),
        bad_images=[name for name, image in zip(image_names(data_batch), data_batch['inputs'])
                    if not torch.isfinite(image).all()])


def count_labels(data_batch: dict, ignore_index: int = IGNORE_INDEX) -> LabelPixels:
    """Unchanged, changed and ignored pixels in the labels of one batch."""
    labels = [sample.gt_sem_seg.data for sample in data_batch['data_samples'] if 'gt_sem_seg' in sample]
    changed = sum(int((label == 1).sum()) for label in labels)
    ignored = sum(int((label == ignore_index).sum()) for label in labels)
    return sum(label.numel() for label in labels) - changed - ignored, changed, ignored


def image_names(data_batch: dict) -> List[str]:
    """File of the first image of every pair in a batch."""
    return [sample.get('img_path', 'an image without img_path') for sample in data_batch['data_samples']]


def gradient_norms(model: nn.Module, data_batch: dict) -> Dict[str, float]:
    """Euclidean norm of the gradient that each loss term sends into the model, on one batch, in full precision.

    The optimizer's own gradients are of no use here: they are the sum over all terms, and zeroed after each step.

    Args:
        model: The segmentor, or its distributed wrapper.
        data_batch: One training batch as the data loader gives it.
    """
    segmentor: Any = getattr(model, 'module', model)
    segmentor.train()
    parameters = [parameter for parameter in segmentor.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        losses = segmentor(**segmentor.data_preprocessor(data_batch, True), mode='loss')
        return {name: _gradient_norm(value, parameters) for name, value in losses.items() if 'loss' in name}


def _gradient_norm(loss: Any, parameters: Sequence[nn.Parameter]) -> float:
    total: Tensor = sum(term.mean() for term in (loss if isinstance(loss, (list, tuple)) else [loss]))
    if not total.requires_grad:
        return 0.
    gradients: Sequence[Optional[Tensor]] = torch.autograd.grad(
        total, parameters, retain_graph=True, allow_unused=True)
    return float(sum(gradient.pow(2).sum() for gradient in gradients if gradient is not None)) ** 0.5
