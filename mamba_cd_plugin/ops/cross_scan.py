"""The four scan orders of an image (VMamba's cross scan) and their inverse."""
import torch
from torch import Tensor

NUM_DIRECTIONS = 4


def cross_scan(x: Tensor) -> Tensor:
    """Read a feature map in the four directions of VMamba (arXiv 2401.10166).

    Args:
        x: (N, C, H, W).

    Returns:
        (N, 4, C, H*W): by rows, by columns, by rows backwards, by columns backwards.
    """
    forwards = torch.stack([x.flatten(2), x.transpose(2, 3).flatten(2)], 1)
    return torch.cat([forwards, forwards.flip(-1)], 1)


def cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    """Put the four sequences of `cross_scan` back on the map and add them up.

    Args:
        y: (N, 4, C, H*W).
        height: H.
        width: W.

    Returns:
        (N, C, H, W), the sum over the four directions.
    """
    rows, columns = (y[:, :2] + y[:, 2:].flip(-1)).unbind(1)
    return rows.unflatten(-1, (height, width)) + columns.unflatten(-1, (width, height)).transpose(2, 3)


def scan_pixels(x: Tensor) -> Tensor:
    """Bring per-direction, channels-last values into the scan order of their direction.

    Args:
        x: (N, H, W, 4, P), values of direction k at [..., k, :], stored at the pixel that they belong to.

    Returns:
        (N, 4, P, H*W), direction k in its own order.
    """
    x = x.permute(0, 3, 4, 1, 2)
    rows, columns, rows_back, columns_back = x.unbind(1)
    return torch.stack([
        rows.flatten(2),
        columns.transpose(2, 3).flatten(2),
        rows_back.flatten(2).flip(-1),
        columns_back.transpose(2, 3).flatten(2).flip(-1),
    ], 1)
