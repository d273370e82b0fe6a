"""The selective scan in standard operators for any image size, for exported models."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from ..models.layers.pointwise import pointwise
from ..models.layers.ss2d import NUM_DIRECTIONS, SS2D
from ..ops import cross_merge, cross_scan
from ..ops.cross_scan import scan_pixels

# Positions per block. The graph is the same for every size; running it takes BLOCK + L / BLOCK steps.
BLOCK = 64


def _step(state: Tensor, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    state = inputs[0] * state + inputs[1]
    return state, state.clone()  # torch's scan allows no output that is another one's memory


def _recurrence(decay: Tensor, drive: Tensor) -> Tensor:
    """h[l] = decay[l] * h[l-1] + drive[l] along the first axis, from h[-1] = 0: one Scan operator of ONNX."""
    return scan(_step, torch.zeros_like(drive[0]), (decay, drive), dim=0)[1]


def linear_scan(log_decay: Tensor, drive: Tensor) -> Tensor:
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
    blocks = length // BLOCK + 2  # never 1, which the exporter would take for a constant
    log_decay, drive = (F.pad(x, (0, blocks * BLOCK - length)).unflatten(-1, (blocks, BLOCK)).movedim(-1, 0)
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
        states = linear_scan(delta.unsqueeze(3) * rates, (delta * u).unsqueeze(3) * b.unsqueeze(2))  # (N, 4, C, S, L)
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
