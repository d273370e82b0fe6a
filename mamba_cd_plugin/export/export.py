"""Exporting a model to ONNX or torch.export, and proving that the file computes the same.

The selective scan becomes standard operators for any image size: at the end of this file.
"""
import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.utils import digit_version
from mmseg.models import EncoderDecoder
from torch import Tensor, nn

from ..inference.models import PROPERTIES, OnnxTileModel, TorchTileModel
from ..io.files import output_file
from ..models.layers import NUM_DIRECTIONS, SS2D, pointwise
from ..ops import cross_merge, cross_scan
from ..ops.cross_scan import scan_pixels
from ..private_names import torch_scan
from ..version import __version__

# Largest difference of a probability between the file and the model that is taken for rounding.
TOLERANCE = 1e-4
# Heights and widths on which a file of dynamic size is compared; none is the one it was traced with.
CHECKED_SIZES = ((64, 64), (160, 96), (256, 256))
TRACED_SIZE = (96, 128)
MAX_SIDE = 4096
# The first whose exporters know the scan operator.
OLDEST_TORCH = '2.9'
# ONNX opset 18 is the oldest that torch's exporter targets by itself, and onnxruntime has known it since 1.14.
OPSET = 18
# Positions per block. The graph is the same for every size; running it takes SCAN_BLOCK + L / SCAN_BLOCK steps.
SCAN_BLOCK = 64


class ExportableModel(nn.Module):
    """A segmentor from pixels to probabilities, in operators that can be exported.

    Args:
        model: An mmseg EncoderDecoder with one logit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        exportable: Any = make_exportable(copy.deepcopy(model)).eval().requires_grad_(False)
        self.backbone, self.neck, self.head = exportable.backbone, exportable.neck, exportable.decode_head
        self.register_buffer('mean', exportable.data_preprocessor.mean)
        self.register_buffer('std', exportable.data_preprocessor.std)

    def forward(self, pair: Tensor) -> Tensor:
        """RGB values 0..255 (1, 6, H, W), A first, to change probabilities (1, 1, H, W)."""
        return self.head(self.neck(self.backbone((pair - self.mean) / self.std))).sigmoid()


def trace(model: Any, size: int | None) -> torch.export.ExportedProgram:
    """Export a segmentor with torch.export.

    Args:
        model: An mmseg EncoderDecoder on the CPU.
        size: Side of the only image size it will take; None for any height and width that are multiples of the
            encoder's total stride, 32.
    """
    if digit_version(torch.__version__) < digit_version(OLDEST_TORCH):
        raise ImportError(f'exporting needs torch {OLDEST_TORCH} or newer, this is {torch.__version__}')
    if not isinstance(model, EncoderDecoder):
        raise ValueError(f"{type(model).__name__} cannot be exported, only mmseg's EncoderDecoder, which all configs "
                         'have but those in configs/peers')
    if size is None and getattr(model.decode_head, 'exports_one_size_only', False):
        raise ValueError(f'{type(model.decode_head).__name__} can be exported for one size of images only; give --size')
    shape = TRACED_SIZE if size is None else (size, size)
    stride = model.backbone.strides[-1]
    sides = {2 + i: stride * torch.export.Dim(name, min=1, max=MAX_SIDE // stride) for i, name in enumerate('hw')}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)  # torch's own use of what it deprecates
        return torch.export.export(
            ExportableModel(model), (torch.zeros(1, 6, *shape), ), strict=False,
            dynamic_shapes=(sides, ) if size is None else None)


def export_onnx(model: TorchTileModel, path: Path, size: int | None = None) -> float:
    """Write a model as ONNX, in standard operators, once it has given the same in onnxruntime as here.

    Args:
        model: On the CPU.
        path: Path of the .onnx file, which appears only if the comparison succeeds.
        size: See :func:`trace`.

    Returns:
        The largest difference of a probability.

    Raises:
        ImportError: If the extra ``export`` is not installed.
        ValueError: If the exported model differs by more than TOLERANCE.
    """
    try:
        import onnxruntime  # noqa: F401  to say it now, and not after minutes of tracing
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("exporting to ONNX needs an extra: pip install 'mamba_cd_plugin[export]' "
                          f'({error})') from error
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)
        program = torch.onnx.export(
            trace(model.model, size), dynamo=True, opset_version=OPSET, input_names=['pair'],
            output_names=['probability'], verbose=False)
    program.model.metadata_props[PROPERTIES] = json.dumps(
        dict(version=__version__, threshold=model.threshold, fill=model.fill.tolist(), side=size,
             multiple=model.model.backbone.strides[-1]))
    with output_file(path, option='the exported model') as part:
        program.save(part, external_data=False)
        return _require_same(path, model, OnnxTileModel(part).forward, size)


def export_program(model: TorchTileModel, path: Path, size: int | None = None) -> float:
    """Write a model for ``torch.export.load``, once the file has given the same as the model.

    Args and errors are those of :func:`export_onnx`; the file ends in .pt2.
    """
    program = trace(model.model, size)
    with output_file(path, option='the exported model') as part:
        torch.export.save(program, part)
        loaded = torch.export.load(part).module()

        def forward(pairs: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return loaded(torch.from_numpy(pairs).permute(0, 3, 1, 2).float())[:, 0].numpy()

        return _require_same(path, model, forward, size)


def _require_same(path: Path, model: TorchTileModel, exported: Callable[[np.ndarray], np.ndarray],
                  size: int | None) -> float:
    worst = largest_difference(model.forward, exported, CHECKED_SIZES if size is None else ((size, size), ) * 3)
    if not worst <= TOLERANCE:  # so that NaN fails as well
        raise ValueError(f'{path}: was not written, because the exported model differs from the original by '
                         f'{worst:.2g}, more than {TOLERANCE:g}')
    return worst


def largest_difference(one: Callable[[np.ndarray], np.ndarray], other: Callable[[np.ndarray], np.ndarray],
                       sizes: tuple) -> float:
    """The largest difference of two models' probabilities on random pairs of these sizes."""
    rng = np.random.default_rng(0)
    pairs = [rng.integers(0, 256, (1, height, width, 6), dtype=np.uint8) for height, width in sizes]
    return max(float(np.abs(one(pair) - other(pair)).max()) for pair in pairs)


def _step(state: Tensor, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    state = inputs[0] * state + inputs[1]
    return state, state.clone()  # torch's scan allows no output that is another one's memory


def _recurrence(decay: Tensor, drive: Tensor) -> Tensor:
    """h[l] = decay[l] * h[l-1] + drive[l] along the first axis, from h[-1] = 0: one Scan operator of ONNX."""
    return torch_scan()(_step, torch.zeros_like(drive[0]), (decay, drive), dim=0)[1]


def unsized_scan(log_decay: Tensor, drive: Tensor) -> Tensor:
    """The recurrence h[l] = exp(log_decay[l]) * h[l-1] + drive[l], h[-1] = 0, for a length that the graph does not fix.

    The sequence is cut into blocks, which run side by side from 0; what each hands on to the next is a recurrence of
    the same form over the blocks; then what came from before is added.

    Args:
        log_decay: (..., L), not positive.
        drive: (..., L).

    Returns:
        h (..., L).
    """
    length = drive.shape[-1]
    blocks = length // SCAN_BLOCK + 2  # never 1, which the exporter would take for a constant
    log_decay, drive = (F.pad(x, (0, blocks * SCAN_BLOCK - length)).unflatten(-1, (blocks, SCAN_BLOCK)).movedim(-1, 0)
                        for x in (log_decay, drive))
    local = _recurrence(log_decay.exp(), drive)
    products = log_decay.cumsum(0).exp()
    ends = _recurrence(products[-1].movedim(-1, 0), local[-1].movedim(-1, 0)).movedim(0, -1)
    before = F.pad(ends, (1, 0))[..., :-1]
    return (local + products * before).movedim(0, -1).flatten(-2)[..., :length]


class ExportableSS2D(nn.Module):
    """SS2D with the parameters of another one and the scan above.

    Args:
        ss2d: The trained module.
    """

    def __init__(self, ss2d: SS2D) -> None:
        super().__init__()
        self.ss2d = ss2d

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        s = self.ss2d
        height, width = x.shape[2:]
        u = F.silu(s.conv2d(s.in_proj(x)))
        proj = pointwise(u, s.x_proj_weight.flatten(0, 1)).permute(0, 2, 3, 1).unflatten(-1, (NUM_DIRECTIONS, -1))
        low_rank, b, c = scan_pixels(proj).split([s.dt_rank, s.d_state, s.d_state], 2)
        u = cross_scan(u)
        delta = F.softplus(s.dt_projs_weight @ low_rank + s.dt_projs_bias.unsqueeze(-1))
        rates = -s.A_logs.exp().unflatten(0, (NUM_DIRECTIONS, -1)).unsqueeze(-1)
        states = unsized_scan(delta.unsqueeze(3) * rates, (delta * u).unsqueeze(3) * b.unsqueeze(2))  # (N, 4, C, S, L)
        y = (states * c.unsqueeze(2)).sum(3) + u * s.Ds.unflatten(0, (NUM_DIRECTIONS, -1)).unsqueeze(-1)
        return s.out_proj(s.out_norm(cross_merge(y, height, width)))


def make_exportable(model: nn.Module) -> nn.Module:
    """Put an :class:`ExportableSS2D` in the place of every SS2D of a model, in place."""
    for name, child in model.named_children():
        if isinstance(child, SS2D):
            setattr(model, name, ExportableSS2D(child))
        else:
            make_exportable(child)
    return model
