"""Skip strategies, edge branches and the parts of the other versions."""
import math

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from mamba_cd_plugin.models.decode_heads.aff import ThreeWayAFF, three_way_weights
from mamba_cd_plugin.models.decode_heads.edges import LaplacianMap, SiameseImageEdge, StackedImageEdge
from mamba_cd_plugin.models.decode_heads.skips import (
    TripleScanFusion,
    deinterleave_columns,
    interleave_columns,
    side_by_side,
)
from mamba_cd_plugin.models.structures import LevelFeatures
from mamba_cd_plugin.ops.edge_kernels import laplacian_kernel

C = 16
STYLE = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='SiLU'))
REDUCTION = dict(type='BottleneckReduction')
SKIPS = {
    'AFF3Skip': {}, 'ConcatSkip': {}, 'FuseThenVSS': dict(reduction=REDUCTION), 'NoSkip': {}, 'TripleVSS': {},
    'TrunkSkip': {}, 'UNetSkip': dict(reduction=REDUCTION), 'VSSThenFuse': dict(reduction=REDUCTION)
}
# What must move the trunk at a level that has one above it, section 5 of the design; 'ab' is the neck's fusion.
READS = {
    'AFF3Skip': 'a b above', 'ConcatSkip': 'a b above', 'FuseThenVSS': 'a b above', 'NoSkip': 'above',
    'TripleVSS': 'a b above', 'TrunkSkip': 'above', 'UNetSkip': 'ab above', 'VSSThenFuse': 'a b above'
}


def build_skip(name: str, has_above: bool) -> nn.Module:
    """A skip strategy around an LSSM."""
    return MODELS.build(
        dict(type=name, channels=C, has_above=has_above, block=dict(type='LSSM'), **STYLE, **SKIPS[name])).eval()


@pytest.mark.parametrize('name', SKIPS)
def test_trunk_reads_what_the_strategy_says(name: str) -> None:
    skip = build_skip(name, has_above=True)
    features = {key: torch.randn(1, C, 6, 5, requires_grad=True) for key in ('a', 'b', 'd', 'ab', 'above')}
    above = features['above']
    level = LevelFeatures(*(features[key] for key in ('a', 'b', 'd', 'ab')))
    trunk = skip(level, above).trunk
    assert trunk.shape == above.shape
    trunk.square().sum().backward()
    assert ' '.join(key for key in features if features[key].grad is not None) == READS[name]


@pytest.mark.parametrize('name', SKIPS)
def test_deepest_level_sees_both_dates(name: str) -> None:
    skip = build_skip(name, has_above=False)
    a, b = (torch.randn(1, C, 4, 4, requires_grad=True) for _ in range(2))
    level = LevelFeatures(a, b, a - b, a + b)
    skip(level, None).trunk.square().sum().backward()
    assert a.grad.abs().sum() > 0 and b.grad.abs().sum() > 0


def test_block_before_or_after_the_fusion() -> None:
    level = LevelFeatures(*torch.randn(4, 1, C, 4, 4))
    above = torch.randn(1, C, 4, 4)
    before, after = build_skip('FuseThenVSS', True), build_skip('VSSThenFuse', True)
    fused = before.fusion(level.a, level.b, above)
    torch.testing.assert_close(before(level, above).trunk, before.block(fused))
    torch.testing.assert_close(after(level, above).trunk, after.fusion(level.a, level.b, after.block(above)))


def test_second_skip_of_concat_is_added_after_the_block() -> None:
    skip = build_skip('ConcatSkip', True)
    level, above = LevelFeatures(*torch.randn(4, 1, C, 4, 4)), torch.randn(1, C, 4, 4)
    trunk, fused = skip(level, above)
    torch.testing.assert_close(trunk, skip.block(fused) + fused)


def test_orders_of_triple_vss() -> None:
    a = torch.tensor([[1., 2.], [3., 4.]]).view(1, 1, 2, 2)
    b = 10 * a
    assert interleave_columns(a, b).tolist() == [[[[1, 10, 2, 20], [3, 30, 4, 40]]]]
    assert side_by_side(a, b).tolist() == [[[[1, 2, 10, 20], [3, 4, 30, 40]]]]
    back_a, back_b = deinterleave_columns(interleave_columns(a, b))
    assert torch.equal(back_a, a) and torch.equal(back_b, b)


def test_triple_vss_puts_both_dates_back_in_place() -> None:
    fusion = TripleScanFusion(C, **STYLE).eval()
    seen = {}
    for name in ('stacked', 'interleaved', 'parallel'):
        setattr(fusion, name, nn.Identity())
        getattr(fusion, name).register_forward_hook(lambda _, args, out, name=name: seen.update({name: args[0]}))
    fusion.join = nn.Identity()
    a, b = torch.randn(2, 1, C, 3, 5)
    joined = fusion(a, b)
    assert torch.equal(seen['interleaved'], interleave_columns(a, b))
    assert torch.equal(seen['parallel'], side_by_side(a, b))
    assert torch.equal(joined, torch.cat([seen['stacked'], a, b, a, b], dim=1))


def test_three_way_weights_by_hand() -> None:
    z = torch.tensor([math.log(2), 0., 0.]).view(3, 1)
    # e^z = 2, 1, 1; e^2z = 4, 1, 1; gelu(ln 2) = ln 2 * Phi(ln 2) = 0.693147 * 0.755891 = 0.523944
    torch.testing.assert_close(three_way_weights(z, 'sigmoid').flatten(), torch.tensor([0.5, 0.25, 0.25]))
    torch.testing.assert_close(three_way_weights(z, 'tanh').flatten(), torch.tensor([2., 0.5, 0.5]))
    torch.testing.assert_close(
        three_way_weights(z, 'gelu').flatten(), torch.tensor([0.523944, 0., 0.476056]), atol=1e-5, rtol=0)


def test_three_way_aff_at_zero_attention() -> None:
    features = torch.randn(3, 2, 8, 4, 4)
    for gate, expected in (('sigmoid', features.mean(0)), ('tanh', features.sum(0)), ('gelu', features[2])):
        aff = ThreeWayAFF(8, gate, dict(type='BN'))
        for p in aff.parameters():
            nn.init.zeros_(p)
        torch.testing.assert_close(aff(*features), expected)


def test_three_way_aff_weighs_by_its_attentions() -> None:
    a, b, above = features = torch.randn(3, 2, 8, 4, 4)
    # z = ln 2 for A from the bias of its last norm, 0 for the others: the weights of test_three_way_weights_by_hand.
    for gate, weights in (('sigmoid', (0.5, 0.25, 0.25)), ('tanh', (2., 0.5, 0.5)), ('gelu', (0.523944, 0., 0.476056))):
        aff = ThreeWayAFF(8, gate, dict(type='BN'))
        for p in aff.parameters():
            nn.init.zeros_(p)
        nn.init.constant_(aff.attentions[0].local_attention[1].norm.bias, math.log(2))
        expected = weights[0] * a + weights[1] * b + weights[2] * above
        torch.testing.assert_close(aff(*features), expected, atol=1e-5, rtol=1e-5)


def test_laplacian_kernel_is_flat_free() -> None:
    kernel = laplacian_kernel()
    assert kernel.sum() == 0 and kernel[1, 1] == -8 and (kernel == 1).sum() == 8


def test_laplacian_map_answers_to_edges_only() -> None:
    edge = LaplacianMap(3, gaussian_bias=False)
    torch.testing.assert_close(edge(torch.full((1, 3, 8, 8), 5.)), torch.zeros(1, 1, 8, 8), atol=1e-5, rtol=0)
    step = torch.zeros(1, 3, 9, 12)
    step[..., 6:] = 1
    response = edge(step)[0, 0, 4]
    # Smoothed by (.0545, .2442, .4026, .2442, .0545), columns 4 to 6 are .0545, .2987, .7013; three rows of the kernel
    # give 3 (.0545 - 2 * .2987 + .7013) on the dark side, the opposite on the bright one, and nothing far away.
    assert response[5].item() == pytest.approx(0.4753, abs=1e-3)
    assert response[6].item() == pytest.approx(-0.4753, abs=1e-3)
    assert response[0].abs() < 1e-6 and response[-1].abs() < 1e-6


def test_bias_of_the_gaussians_is_a_key() -> None:
    frozen = LaplacianMap(3, gaussian_bias=True).gaussian.bias
    assert frozen.tolist() == [0., 0., 0.] and not frozen.requires_grad
    assert LaplacianMap(3, gaussian_bias=False).gaussian.bias is None


def test_image_edges_stacked_and_per_date() -> None:
    a, b = torch.randn(2, 1, 3, 16, 16)
    assert StackedImageEdge()(a, b).shape == SiameseImageEdge()(a, b).shape == (1, 1, 16, 16)
    siamese = SiameseImageEdge()
    assert not set(map(id, siamese.edge_a.parameters())) & set(map(id, siamese.edge_b.parameters()))


def test_laplacian_edge_formula() -> None:
    edge = MODELS.build(dict(type='LaplacianEdge', channels=C, reduction=REDUCTION, **STYLE)).eval()
    ab, d, image_edge = torch.randn(1, C, 6, 6), torch.randn(1, C, 6, 6), torch.randn(1, 1, 6, 6)
    level = LevelFeatures(ab, ab, d, ab)
    e = (edge.edge_map(ab) + image_edge).repeat(1, C, 1, 1)
    torch.testing.assert_close(edge(ab, level, image_edge), edge.reduce(torch.cat([edge.vss(ab) * e, d], 1)))


def test_level_output_is_at_full_size_and_only_in_training(toy_config) -> None:
    model = MODELS.build(toy_config('cdmamba_v7_levircd.py').model).eval()
    called = []
    for output in model.decode_head.level_outputs:
        output.register_forward_hook(lambda *args: called.append(args[2].shape))
    with torch.no_grad():
        model(torch.randn(1, 6, 50, 64), mode='predict')
        assert called == []
        outs = model.decode_head.decode(model.extract_feat(torch.randn(1, 6, 50, 64)))
        assert model.decode_head.level_outputs[3](outs[3], (50, 64)).shape == (1, 1, 50, 64)
