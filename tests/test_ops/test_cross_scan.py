import torch

from mamba_cd_plugin.ops import cross_merge, cross_scan
from mamba_cd_plugin.ops.cross_scan import scan_pixels


def test_orders_of_a_small_map():
    # 1 2 3
    # 4 5 6
    x = torch.arange(1, 7).reshape(1, 1, 2, 3)
    expected = [[1, 2, 3, 4, 5, 6], [1, 4, 2, 5, 3, 6], [6, 5, 4, 3, 2, 1], [6, 3, 5, 2, 4, 1]]
    assert cross_scan(x)[0, :, 0].tolist() == expected


def test_merge_brings_every_pixel_back():
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(cross_merge(cross_scan(x), 4, 5), 4 * x)


def test_merge_is_the_adjoint_of_scan():
    x, y = torch.randn(2, 3, 4, 5), torch.randn(2, 4, 3, 20)
    torch.testing.assert_close((cross_scan(x) * y).sum(), (x * cross_merge(y, 4, 5)).sum())


def test_pixel_values_follow_the_same_orders():
    x = torch.randn(2, 4, 5, 3)
    stacked = scan_pixels(x.unsqueeze(3).expand(-1, -1, -1, 4, -1))
    assert torch.equal(stacked, cross_scan(x.permute(0, 3, 1, 2)))
