"""The building blocks."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mamba_cd_plugin.models.decode_heads.aff import (
    AttentionalFeatureFusion,
    ThreeWayAFF,
    gelu_gate,
    sigmoid_gate,
    tanh_gate,
)
from mamba_cd_plugin.models.decode_heads.edges import DoGEdge
from mamba_cd_plugin.models.layers import SS2D, BottleneckReduction, DirectReduction, LN2d, VSSBlock, conv_norm_act
from mamba_cd_plugin.models.necks import DepthwiseDifferenceBlock, DifferenceBlock, FullDifferenceBlock
from mamba_cd_plugin.models.structures import LevelFeatures
from mamba_cd_plugin.ops import selective_scan_ref
from mamba_cd_plugin.ops.edge_kernels import dog_kernel, gaussian_kernel

BN, LN, ACT = dict(type='BN'), dict(type='mmseg.LN2d'), dict(type='SiLU')
BOTTLENECK = dict(type='BottleneckReduction')


def test_gate_weights_by_hand() -> None:
    z = torch.tensor([0., 1.])
    # tanh(1) = 0.761594, sigmoid(1) = 0.731059, gelu(1) = 0.841345 (the normal distribution function at 1)
    for gate, first, total in ((tanh_gate, [1., 1.761594], 2.), (sigmoid_gate, [0.5, 0.731059], 1.),
                               (gelu_gate, [0., 0.841345], 1.)):
        trunk, branch = gate(z)
        torch.testing.assert_close(trunk, torch.tensor(first), atol=1e-6, rtol=0)
        torch.testing.assert_close(trunk + branch, torch.full((2,), total))


@pytest.mark.parametrize('gate', ['tanh', 'sigmoid', 'gelu'])
def test_fusions_start_even(gate: str) -> None:
    two, three = AttentionalFeatureFusion(8, gate, BN), ThreeWayAFF(8, gate, BN)
    two.init_weights(), three.init_weights()
    inputs = torch.randn(3, 2, 8, 5, 5)
    share = {'tanh': 1.}.get(gate, 1 / 2), {'tanh': 1.}.get(gate, 1 / 3)
    torch.testing.assert_close(two(*inputs[:2]), share[0] * inputs[:2].sum(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(three(*inputs), share[1] * inputs.sum(0), atol=1e-3, rtol=0)


def test_aff_at_zero_attention_is_the_plain_mixture() -> None:
    trunk, branch = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
    for gate, expected in (('tanh', trunk + branch), ('sigmoid', (trunk + branch) / 2), ('gelu', branch)):
        aff = AttentionalFeatureFusion(8, gate, BN)
        for p in aff.parameters():
            nn.init.zeros_(p)
        torch.testing.assert_close(aff(trunk, branch), expected)


def test_aff_weighs_by_its_attention() -> None:
    trunk, branch = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
    # z = 1 everywhere, from the bias of the last norm: the weights of test_gate_weights_by_hand.
    for gate, w_trunk, w_branch in (('tanh', 1.761594, 0.238406), ('sigmoid', 0.731059, 0.268941),
                                    ('gelu', 0.841345, 0.158655)):
        aff = AttentionalFeatureFusion(8, gate, BN)
        for p in aff.parameters():
            nn.init.zeros_(p)
        nn.init.ones_(aff.attention.local_attention[1].norm.bias)
        torch.testing.assert_close(aff(trunk, branch), w_trunk * trunk + w_branch * branch, atol=1e-5, rtol=1e-5)


def test_aff_names_an_unknown_gate() -> None:
    with pytest.raises(ValueError, match="gate 'relu' is unknown; there are sigmoid, tanh, gelu"):
        AttentionalFeatureFusion(8, 'relu', BN)


def test_aff_trains_on_a_single_image() -> None:
    AttentionalFeatureFusion(8, 'tanh', BN).train()(torch.randn(1, 8, 4, 4), torch.randn(1, 8, 4, 4)).sum().backward()


def test_gaussian_and_dog_kernels_are_analytic() -> None:
    g = gaussian_kernel(3, 1.0)
    # One axis: 1, e^-1/2 on both sides, normalised: e^-1/2 = 0.606531, sum 2.213061.
    assert g[1, 1].item() == pytest.approx((1 / 2.2130613)**2, rel=1e-6)
    assert g[0, 1].item() == pytest.approx(0.6065307 / 2.2130613**2, rel=1e-6)
    # Sigma 1 less sigma 2, whose axis is e^-1/8, 1, e^-1/8 = 0.882497, sum 2.764994.
    dog = dog_kernel(3, 1.0, ratio=2.0)
    assert dog[1, 1].item() == pytest.approx(1 / 2.2130613**2 - 1 / 2.7649938**2, rel=1e-5)
    assert dog[0, 0].item() == pytest.approx((0.6065307 / 2.2130613)**2 - (0.8824969 / 2.7649938)**2, rel=1e-5)
    dog = dog_kernel(7, 0.8)
    assert dog.sum().item() == pytest.approx(0, abs=1e-12)
    assert dog[3, 3] > 0 > dog[3, 0] and torch.equal(dog, dog.T) and torch.equal(dog, dog.flip(0))


@pytest.mark.parametrize('bad', [(4, 1.0), (3, 0.)])
def test_gaussian_refuses_even_sizes_and_zero_width(bad: tuple) -> None:
    with pytest.raises(ValueError, match='odd kernel size and a positive sigma'):
        gaussian_kernel(*bad)


def test_dog_branch_does_not_answer_to_a_flat_feature_nor_to_the_border() -> None:
    edge = DoGEdge(4, BN, ACT, BOTTLENECK)
    flat = torch.full((1, 4, 8, 8), 3.)
    torch.testing.assert_close(edge.dog(flat), torch.zeros_like(flat), atol=1e-5, rtol=0)
    spike = torch.zeros(1, 4, 9, 9)
    spike[..., 4, 4] = 1
    torch.testing.assert_close(edge.dog(spike)[0, 2, 1:8, 1:8], dog_kernel(7, 0.8).float())


def test_dog_kernels_can_be_frozen() -> None:
    assert not DoGEdge(4, BN, ACT, BOTTLENECK, learnable=False).dog.weight.requires_grad
    assert DoGEdge(4, BN, ACT, BOTTLENECK).dog.weight.requires_grad


def test_dog_branch_reads_the_difference() -> None:
    edge = DoGEdge(4, BN, ACT, BOTTLENECK).eval()
    fused, d = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    level = LevelFeatures(fused, fused, d)
    expected = edge.reduce(torch.cat([fused + fused * edge.dog(fused), d], 1))
    torch.testing.assert_close(edge(fused, level, None), expected)


def test_difference_blocks() -> None:
    a, b = torch.randn(2, 4, 5, 5), torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(DifferenceBlock(4, BN, ACT)(a, b), (a - b).abs())
    # depthwise: 3x3 on 2C with bias (LN follows, no BN), LN, 1x1 to C; full: 3x3 2C to C without bias, BN.
    sizes = {DepthwiseDifferenceBlock: (LN, 8 * 9 + 8 + 16 + 8 * 4 + 4), FullDifferenceBlock: (BN, 9 * 8 * 4 + 8)}
    for block, (norm, expected) in sizes.items():
        module = block(4, norm, ACT)
        assert sum(p.numel() for p in module.parameters()) == expected
        learnt = module.learnt(torch.cat([a, b], 1))
        module.eval(), module.train()
        torch.testing.assert_close(module(a, b) - (a - b).abs(), learnt)


def test_bias_only_where_no_batch_norm_follows() -> None:
    assert conv_norm_act(2, 2, 3, BN, ACT).conv.bias is None
    assert conv_norm_act(2, 2, 3, dict(type='SyncBN'), ACT).conv.bias is None
    assert conv_norm_act(2, 2, 3, LN, ACT).conv.bias is not None
    assert conv_norm_act(2, 2, 3, None, ACT).conv.bias is not None


def test_reductions_change_the_channels() -> None:
    x = torch.randn(2, 24, 4, 4)
    assert DirectReduction(24, 8, BN, ACT)(x).shape == BottleneckReduction(24, 8, BN, ACT)(x).shape == (2, 8, 4, 4)
    assert BottleneckReduction(16, 8, BN, ACT).cut.conv.out_channels == 4  # 2C cut four times


def test_ln2d_is_layer_norm_over_channels() -> None:
    x = torch.randn(2, 6, 3, 3).contiguous(memory_format=torch.channels_last)
    y = LN2d(6)(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(y, F.layer_norm(x.permute(0, 2, 3, 1), (6,)).permute(0, 3, 1, 2))
    assert y.is_contiguous(memory_format=torch.channels_last)


def ss2d_by_the_book(m: SS2D, x: torch.Tensor) -> torch.Tensor:
    """SS2D written from the paper's description: four explicit pixel orders, one plain scan each."""
    n, _, h, w = x.shape
    u = F.silu(m.conv2d(torch.einsum('oc,nchw->nohw', m.in_proj.weight, x)))
    pixels = torch.arange(h * w)
    columns = pixels.view(h, w).T.flatten()
    merged = torch.zeros(n, u.size(1), h * w)
    for k, order in enumerate((pixels, columns, pixels.flip(0), columns.flip(0))):
        sequence = u.flatten(2)[:, :, order]
        dt, b, c = (m.x_proj_weight[k] @ sequence).split([m.dt_rank, m.d_state, m.d_state], 1)
        inner = slice(k * u.size(1), (k + 1) * u.size(1))
        y = selective_scan_ref(sequence, m.dt_projs_weight[k] @ dt, -m.A_logs[inner].exp(), b[:, None], c[:, None],
                               m.Ds[inner], m.dt_projs_bias[k])
        merged[:, :, order] += y
    normed = F.layer_norm(merged.mT, merged.shape[1:2], m.out_norm.weight, m.out_norm.bias)
    return torch.einsum('oc,nlc->nol', m.out_proj.weight, normed).view_as(x)


@pytest.mark.parametrize(('d_state', 'ratio'), [(1, 1.0), (4, 2.0)])
def test_ss2d_against_the_paper(d_state: int, ratio: float) -> None:
    m = SS2D(20, d_state, ratio)
    x = torch.randn(2, 20, 5, 7)
    torch.testing.assert_close(m(x), ss2d_by_the_book(m, x), atol=1e-5, rtol=1e-4)


def test_ss2d_starts_with_mambas_parameters() -> None:
    m = SS2D(32, d_state=3)
    step = F.softplus(m.dt_projs_bias)
    assert step.min() >= 0.99e-3 and step.max() <= 1.01e-1
    torch.testing.assert_close(m.A_logs[5].exp(), torch.tensor([1., 2., 3.]))
    assert (m.Ds == 1).all()


def test_ss2d_refuses_a_backend_that_is_not_there() -> None:
    with pytest.raises(ValueError, match='unknown scan backend'):
        SS2D(16, scan_backend='cuda')


def test_vss_block_is_residual_and_keeps_the_memory_format() -> None:
    block = VSSBlock(16).eval()
    nn.init.zeros_(block.ss2d.out_proj.weight), nn.init.zeros_(block.mlp[2].weight), nn.init.zeros_(block.mlp[2].bias)
    x = torch.randn(2, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(block(x), x)
    assert block(x).is_contiguous(memory_format=torch.channels_last)
