"""Analytic kernels of the edge branches, as plain functions."""
import torch
from torch import Tensor


def gaussian_kernel(kernel_size: int, sigma: float) -> Tensor:
    """Sampled two-dimensional Gaussian that sums to 1.

    Args:
        kernel_size: odd side length in pixels.
        sigma: standard deviation in pixels.

    Returns:
        float64 tensor (kernel_size, kernel_size).

    Raises:
        ValueError: if ``kernel_size`` is even or ``sigma`` is not positive.
    """
    if kernel_size % 2 == 0 or sigma <= 0:
        raise ValueError(f'a Gaussian needs an odd kernel size and a positive sigma, got {kernel_size} and {sigma}')
    x = torch.arange(kernel_size, dtype=torch.float64) - kernel_size // 2
    g = torch.exp(-x**2 / (2 * sigma**2))
    g /= g.sum()
    return torch.outer(g, g)


def dog_kernel(kernel_size: int, sigma: float, ratio: float = 1.6) -> Tensor:
    """Difference of two Gaussians, G(sigma) - G(ratio * sigma); sums to 0.

    With ratio 1.6 it approximates the (negative) Laplacian of a Gaussian best (Marr and Hildreth 1980, appendix B).

    Args:
        kernel_size: odd side length in pixels.
        sigma: standard deviation of the narrow Gaussian in pixels.
        ratio: wide / narrow standard deviation.

    Returns:
        float64 tensor (kernel_size, kernel_size).
    """
    return gaussian_kernel(kernel_size, sigma) - gaussian_kernel(kernel_size, ratio * sigma)


def laplacian_kernel() -> Tensor:
    """The Laplacian over all eight neighbours, -8 in the middle and 1 around; sums to 0.

    Returns:
        float64 tensor (3, 3).
    """
    kernel = torch.ones(3, 3, dtype=torch.float64)
    kernel[1, 1] = -8
    return kernel
