"""Diagnosis of a failed training: the facts about a run, and how they speak for the known causes."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from ..io.pictures import IGNORE_INDEX

LABELS = 'labels'
INPUTS = 'images'
LOSS = 'loss weights'
HIGH_RATE = 'learning rate too high'
LOW_RATE = 'learning rate too low'
FP16 = 'fp16'

# Less changed pixels than this in training drown in the unchanged ones; LEVIR-CD, itself unbalanced, has 4.7 %.
RARE_CHANGE = 0.005
# A loss term whose gradient is a thousandth of the strongest one's no longer steers the model.
WEAK_GRADIENT = 1e-3
# Loss curves are compared by the means of so many equal parts, so that the noise of single batches does not count.
LOSS_PARTS = 8
# A loss that ends half above its lowest part, or doubles on the way, was thrown out of where it had been.
LOSS_ROSE = 1.5
LOSS_JUMPED = 2.
# A loss that moved by less than 2 % over the whole run was hardly trained at all.
LOSS_MOVED = 0.02
# A rate below a thousandth of the run's highest no longer moves the weights: a schedule has taken it away.
RATE_GONE = 1e-3
# GradScaler starts at 65536 and halves on every overflow; below 1 it has skipped 16 steps or more without recovering.
SCALE_COLLAPSED = 1.


@dataclass(frozen=True)
class Evidence:
    """Observations of a guard about a run.

    Attributes:
        label_pixels: Unchanged, changed and ignored pixels in the labels of the training batches.
        losses: Value per iteration of each loss term, and of their sum under ``loss``.
        rates: Learning rate per iteration.
        gradient_norms: Norm of the gradient of each loss term on the last batch.
        loss_scale: Scale of the GradScaler, None without mixed precision.
        batch_label_pixels: The same as ``label_pixels``, for the last batch alone.
        bad_images: Files of the last batch whose pixels are not finite.
    """
    label_pixels: tuple[int, int, int] = (0, 0, 0)
    losses: dict[str, np.ndarray] = field(default_factory=dict)
    rates: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gradient_norms: dict[str, float] = field(default_factory=dict)
    loss_scale: float | None = None
    batch_label_pixels: tuple[int, int, int] = (0, 0, 0)
    bad_images: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """The verdict on one known cause.

    Attributes:
        cause: Name of the cause.
        fits: Whether it explains what was seen.
        seen: The observation, with its numbers.
        remedy: Instruction for the user, if the cause fits.
    """
    cause: str
    fits: bool
    seen: str
    remedy: str = ''


def diagnose_collapse(evidence: Evidence) -> list[Verdict]:
    """Causes of a model that predicts one class only, those that fit first."""
    return _fitting_first([
        examine_labels(evidence),
        examine_loss_scale(evidence),
        examine_loss_terms(evidence),
        examine_high_rate(evidence),
        examine_low_rate(evidence),
    ])


def diagnose_nonfinite(evidence: Evidence) -> list[Verdict]:
    """Causes of a loss that is NaN or infinite, those that fit first."""
    return _fitting_first([
        examine_images(evidence),
        examine_batch_labels(evidence),
        examine_mixed_precision(evidence),
        examine_high_rate(evidence),
    ])


def examine_labels(evidence: Evidence) -> Verdict:
    """Do the training labels hold both classes, and enough of the rarer one?"""
    unchanged, changed, ignored = evidence.label_pixels
    labelled = unchanged + changed
    seen = f'{changed:,} of {labelled:,} labelled training pixels are changed, {ignored:,} are ignored'
    if not labelled + ignored:
        return Verdict(LABELS, False, 'no training label was seen by this process')
    if not labelled:
        return Verdict(LABELS, True, seen, 'Every label is the ignore value 255: nothing can be learned. Map 255 to 1 '
                       'while loading (LoadChangeLabel does), or check the label files.')
    if not changed:
        hint = ('The changed pixels are probably 255, which counts as ignored: map 255 to 1 while loading '
                '(LoadChangeLabel does).' if ignored else 'Check the label files and the folder they are read from.')
        return Verdict(LABELS, True, seen, f'The labels are all 0, and the model has learned that. {hint}')
    if not unchanged:
        return Verdict(LABELS, True, seen, 'The labels are all 1, and the model has learned that. Check their mapping.')
    if changed < RARE_CHANGE * labelled:
        return Verdict(LABELS, True, f'{seen} ({100 * changed / labelled:.2f} %)',
                       'So few pixels barely affect the loss: crop where there is change (RandomChangeCrop with a '
                       'higher change_prob), or weight that class more.')
    return Verdict(LABELS, False, f'{seen} ({100 * changed / labelled:.1f} %)')


def examine_batch_labels(evidence: Evidence) -> Verdict:
    """Has the last batch any labelled pixel? A mean over none is 0/0."""
    unchanged, changed, ignored = evidence.batch_label_pixels
    seen = f'this batch has {unchanged:,} unchanged, {changed:,} changed and {ignored:,} ignored pixels'
    if ignored and not unchanged + changed:
        return Verdict(LABELS, True, seen, 'A mean over no pixel is 0/0: map 255 to 1 while loading (LoadChangeLabel '
                       'does), or leave out the images that hold no label at all.')
    return Verdict(LABELS, False, seen)


def examine_images(evidence: Evidence) -> Verdict:
    """Are all pixels that the network was given finite?"""
    if evidence.bad_images:
        return Verdict(INPUTS, True, f'NaN or infinite pixels in {", ".join(evidence.bad_images)}',
                       'Repair or remove these files; a std of 0 in the data_preprocessor has the same effect.')
    return Verdict(INPUTS, False, 'all pixels of this batch are finite')


def examine_loss_scale(evidence: Evidence) -> Verdict:
    """Did mixed precision skip the steps? The scale of the gradients halves with every overflow."""
    if evidence.loss_scale is None:
        return Verdict(FP16, False, 'mixed precision is off')
    seen = f'the loss scale of mixed precision is {evidence.loss_scale:g}'
    if evidence.loss_scale < SCALE_COLLAPSED:
        return Verdict(FP16, True, seen, 'The gradients overflow in fp16 and the steps are skipped: train without '
                       '--amp, or with --amp bf16 where the GPU has it.')
    return Verdict(FP16, False, seen)


def examine_mixed_precision(evidence: Evidence) -> Verdict:
    """Could the forward pass have overflowed? In fp16 that needs no warning by the loss scale."""
    if evidence.loss_scale is None:
        return Verdict(FP16, False, 'mixed precision is off')
    return Verdict(FP16, True, f'mixed precision is on, with a loss scale of {evidence.loss_scale:g}',
                   'fp16 ends at 65504: train without --amp, or with --amp bf16.')


def examine_loss_terms(evidence: Evidence) -> Verdict:
    """Does every term of the loss still pull at the weights?"""
    norms = evidence.gradient_norms
    if not norms:
        return Verdict(LOSS, False, 'the gradients of the loss terms are not known')
    seen = 'gradient norms on the last batch: ' + ', '.join(f'{name} {norm:.3g}' for name, norm in norms.items())
    strongest = max(norms.values())
    if strongest == 0:
        return Verdict(LOSS, True, seen, 'No term of the loss has a gradient: check loss_weight of each (0?), and that '
                       'nothing between the head and the loss is detached.')
    weak = [name for name, norm in norms.items() if norm < WEAK_GRADIENT * strongest]
    if weak:
        return Verdict(LOSS, True, seen, f'{", ".join(weak)} contributes almost nothing: raise its loss_weight, or '
                       'lower that of the others.')
    return Verdict(LOSS, False, seen)


def examine_high_rate(evidence: Evidence) -> Verdict:
    """Was the loss thrown out of where it had been?"""
    parts = _loss_parts(evidence)
    if len(parts) < 2:
        return Verdict(HIGH_RATE, False, 'too early to tell')
    seen = _describe_curve(evidence, parts)
    if parts[-1] > LOSS_ROSE * parts.min() or parts.max() > LOSS_JUMPED * parts[0]:
        return Verdict(HIGH_RATE, True, seen, f'The loss jumped. Try lr {evidence.rates.max() / 3:.2g} with a '
                       'warm-up, or clip the gradients (optim_wrapper.clip_grad).')
    return Verdict(HIGH_RATE, False, seen)


def examine_low_rate(evidence: Evidence) -> Verdict:
    """Did the loss hardly move, or has the schedule reduced the learning rate too far?"""
    parts = _loss_parts(evidence)
    if len(parts) < LOSS_PARTS:
        return Verdict(LOW_RATE, False, 'too early to tell')
    seen = _describe_curve(evidence, parts)
    rate, highest = evidence.rates[-1], evidence.rates.max()
    if rate < RATE_GONE * highest:
        return Verdict(LOW_RATE, True, f'{seen}; the learning rate was up to {highest:.3g}', 'The schedule reduced the '
                       'learning rate too far: give the scheduler more patience or a smaller step.')
    if abs(parts[-1] - parts[0]) < LOSS_MOVED * abs(parts[0]):
        return Verdict(LOW_RATE, True, seen, f'The loss hardly moved. Try lr {highest * 10:.2g}; with a larger batch, '
                       'use --auto-scale-lr.')
    return Verdict(LOW_RATE, False, seen)


def _loss_parts(evidence: Evidence) -> np.ndarray:
    """Mean loss of up to LOSS_PARTS equal parts of the run, each of two iterations at least; empty if unknown."""
    total = evidence.losses.get('loss', np.zeros(0))
    total = total[np.isfinite(total)]
    parts = min(LOSS_PARTS, len(total) // 2)
    if not parts or not len(evidence.rates):
        return np.zeros(0)
    return np.array([part.mean() for part in np.array_split(total, parts)])


def _describe_curve(evidence: Evidence, parts: np.ndarray) -> str:
    return (f'lr {evidence.rates[-1]:.3g}, loss {parts[0]:.4g} at first, {parts.min():.4g} at its lowest, '
            f'{parts[-1]:.4g} at last')


def format_verdicts(verdicts: Sequence[Verdict]) -> str:
    """The likely causes with their remedies, then the excluded ones with the observations."""
    lines = [f'Likely cause, {verdict.cause}: {verdict.seen}.\n    {verdict.remedy}'
             for verdict in verdicts if verdict.fits]
    if not lines:
        lines = ['None of the known causes fits. Look at the curves and the pictures, and try a lower learning rate.']
    lines += [f'Not the cause, {verdict.cause}: {verdict.seen}.' for verdict in verdicts if not verdict.fits]
    return '\n'.join(lines)


def _fitting_first(verdicts: list[Verdict]) -> list[Verdict]:
    return sorted(verdicts, key=lambda verdict: not verdict.fits)


LabelPixels = tuple[int, int, int]


def loss_history(runner: Runner) -> dict[str, np.ndarray]:
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
    # By NumPy, which counts several times as fast as torch on a CPU: the guard counts the labels of every batch.
    labels = [sample.gt_sem_seg.data.cpu().numpy() for sample in data_batch['data_samples'] if 'gt_sem_seg' in sample]
    changed = sum(int(np.count_nonzero(label == 1)) for label in labels)
    ignored = sum(int(np.count_nonzero(label == ignore_index)) for label in labels)
    return sum(label.size for label in labels) - changed - ignored, changed, ignored


def image_names(data_batch: dict) -> list[str]:
    """File of the first image of every pair in a batch."""
    return [sample.get('img_path', 'an image without img_path') for sample in data_batch['data_samples']]


def gradient_norms(model: nn.Module, data_batch: dict) -> dict[str, float]:
    """Euclidean norm of the gradient that each loss term sends into the model, on one batch, in full precision.

    The optimizer's own gradients are of no use here: they are the sum over all terms, and zeroed after each step.

    Args:
        model: The segmentor, or its distributed wrapper.
        data_batch: One training batch from the data loader.
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
    gradients: Sequence[Tensor | None] = torch.autograd.grad(
        total, parameters, retain_graph=True, allow_unused=True)
    return float(sum(gradient.pow(2).sum() for gradient in gradients if gradient is not None)) ** 0.5
