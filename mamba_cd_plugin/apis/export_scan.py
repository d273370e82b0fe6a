"""The selective scan in standard operators for any image size, for exported models."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers.ss2d import NUM_DIRECTIONS, SS2D
from ..ops import cross_merge, cross_scan
from ..ops.cross_scan import scan_pixels

# Steps per block. Every level divides the length by it: the graph has 2 * BLOCK * LEVELS multiply-adds for each scan.
BLOCK = 16
# BLOCK ** LEVELS = 1,048,576 positions at most, an image of 4096 x 4096 pixels at stride 4.
LEVELS = 5


def linear_scan(decay: Tensor, drive: Tensor, levels: int = LEVELS) -> Tensor:
    """The recurrence h[l] = decay[l] * h[l-1] + drive[l], h[-1] = 0, in a number of steps that no size decides.

    The sequence is cut into blocks of 16 steps, which run side by side from 0. What each hands on to the next is a
    recurrence of the same form over the blocks, 16 times shorter, and is solved in the same way; then it is added.
    So the graph is the same for every length, where the scan for training takes a step for each position of a block.

    Args:
        decay: (..., L), 0..1.
        drive: (..., L).
        levels: L is at most BLOCK ** levels.

    Returns:
        h (..., L).
    """
    length = decay.shape[-1]
    if levels == 1:
        return torch.stack(_steps(decay.unbind(-1), drive.unbind(-1)), -1)
    blocks = (length + BLOCK - 1) // BLOCK
    padding = blocks * BLOCK - length
    decay = F.pad(decay, (0, padding)).unflatten(-1, (blocks, BLOCK))
    drive = F.pad(drive, (0, padding)).unflatten(-1, (blocks, BLOCK))
    decays, drives = decay.unbind(-1), drive.unbind(-1)
    local = torch.stack(_steps(decays, drives), -1)
    products = torch.stack(_products(decays), -1)
    if levels == 2:  # the last level has exactly BLOCK positions
        ends = linear_scan(_to_block(products[..., -1]), _to_block(local[..., -1]), 1)[..., :blocks]
    else:
        ends = linear_scan(products[..., -1], local[..., -1], levels - 1)
    before = F.pad(ends, (1, 0))[..., :-1]
    return (local + products * before.unsqueeze(-1)).flatten(-2)[..., :length]


def _to_block(x: Tensor) -> Tensor:
    return F.pad(x, (0, BLOCK))[..., :BLOCK]


def _steps(decays: tuple[Tensor, ...], drives: tuple[Tensor, ...]) -> list[Tensor]:
    state = drives[0]
    states = [state]
    for decay, drive in zip(decays[1:], drives[1:]):
        state = decay * state + drive
        states.append(state)
    return states


def _products(decays: tuple[Tensor, ...]) -> list[Tensor]:
    product = decays[0]
    products = [product]
    for decay in decays[1:]:
        product = product * decay
        products.append(product)
    return products


class ExportableSS2D(nn.Module):
    """SS2D with the parameters of another one and the scan above.

    Args:
        ss2d: The trained module.
    """

    def __init__(self, ss2d: SS2D) -> None:
        super().__init__()
        self.ss2d = ss2d

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to (N, H, W, C)."""
        s = self.ss2d
        height, width = x.shape[1:3]
        u = F.silu(s.conv2d(s.in_proj(x).permute(0, 3, 1, 2)))
        proj = F.linear(u.permute(0, 2, 3, 1), s.x_proj_weight.flatten(0, 1)).unflatten(-1, (NUM_DIRECTIONS, -1))
        low_rank, b, c = scan_pixels(proj).split([s.dt_rank, s.d_state, s.d_state], 2)
        u = cross_scan(u)
        delta = F.softplus(s.dt_projs_weight @ low_rank + s.dt_projs_bias.unsqueeze(-1))
        rates = -s.A_logs.exp().unflatten(0, (NUM_DIRECTIONS, -1)).unsqueeze(-1)
        decay = torch.exp(delta.unsqueeze(3) * rates)  # (N, 4, C, S, L)
        states = linear_scan(decay, (delta * u).unsqueeze(3) * b.unsqueeze(2))
        y = (states * c.unsqueeze(2)).sum(3) + u * s.Ds.unflatten(0, (NUM_DIRECTIONS, -1)).unsqueeze(-1)
        return s.out_proj(s.out_norm(cross_merge(y, height, width).permute(0, 2, 3, 1)))


def make_exportable(model: nn.Module) -> nn.Module:
    """Put an :class:`ExportableSS2D` in the place of every SS2D of a model, in place."""
    for name, child in model.named_children():
        if isinstance(child, SS2D):
            setattr(model, name, ExportableSS2D(child))
        else:
            make_exportable(child)
    return model
