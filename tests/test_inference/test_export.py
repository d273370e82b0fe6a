"""Exported models against eager ones, in onnxruntime."""
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mamba_cd_plugin.export import export
from mamba_cd_plugin.export.export import unsized_scan
from mamba_cd_plugin.inference.inferencer import ChangeDetectionInferencer
from mamba_cd_plugin.inference.models import OnnxTileModel, TorchTileModel

onnxruntime = pytest.importorskip('onnxruntime')
onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxscript')


@pytest.fixture(scope='module')
def model(toy_config):
    """V8 with one level and a scan of two states: all its parts, and a graph that is exported in seconds."""
    from mmengine.registry import init_default_scope
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = toy_config('cdmamba_v8_levircd.py')
    cfg.merge_from_dict({
        'model.backbone.d_state': 2,
        'model.neck.in_channels': [8],
        'model.decode_head.in_channels': [8],
    })
    cfg.model.backbone.arch = dict(embed_dims=8, depths=(1, ), ssm_ratio=1.0)
    built = MODELS.build(cfg.model)
    built.decode_head.conv_seg.weight.data *= 20  # probabilities from near 0 to near 1
    return TorchTileModel(built, cfg.model)


@pytest.fixture(scope='module')
def traced(model):
    """The exported program of dynamic size, which takes the most time and serves two tests."""
    return export.trace(model.model, None)


@pytest.fixture(scope='module')
def onnx_path(model, traced, tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'model.onnx'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, 'trace', lambda *args: traced)
        assert export.export_onnx(model, path) < 1e-4
    return path


@pytest.mark.parametrize('length', [1, 63, 64, 65, 1000])
def test_scan_of_any_length_is_the_recurrence(length):
    log_decay, drive = -torch.rand(2, 3, length), torch.randn(2, 3, length)
    state, expected = torch.zeros(2, 3), []
    for step in range(length):
        state = log_decay[..., step].exp() * state + drive[..., step]
        expected.append(state)
    torch.testing.assert_close(unsized_scan(log_decay, drive), torch.stack(expected, -1), atol=1e-5, rtol=1e-5)


def test_onnx_is_eager_on_three_sizes_and_more(model, onnx_path):
    exported = OnnxTileModel(onnx_path)
    rng = np.random.default_rng(1)
    # The last ones are extended by reflection, here by numpy and there by the model itself.
    for height, width in ((32, 32), (64, 160), (256, 256), (99, 75), (1, 2)):
        pairs = rng.integers(0, 256, (2, height, width, 6), dtype=np.uint8)
        np.testing.assert_allclose(exported.forward(pairs), model.forward(pairs), atol=1e-4)


def test_onnx_has_standard_operators_only_and_no_file_beside_it(onnx_path):
    graph = onnx.load(onnx_path)
    onnx.checker.check_model(graph)
    assert {opset.domain for opset in graph.opset_import} <= {'', 'ai.onnx'} | {f.domain for f in graph.functions}
    nodes = [*graph.graph.node, *(node for function in graph.functions for node in function.node)]
    assert not {node.domain for node in nodes} - {'', *(f.domain for f in graph.functions)}
    assert [path.name for path in onnx_path.parent.glob('[!.]*')] == ['model.onnx']


def test_predict_takes_the_onnx(model, onnx_path, town, monkeypatch):
    pair = town(150, 180)
    results = ChangeDetectionInferencer(str(onnx_path), device='cpu', show_progress=False)(pair, tile=128, overlap=32)
    monkeypatch.setattr(model, 'align', 1)
    monkeypatch.setattr('mamba_cd_plugin.inference.inferencer.load_model', lambda *args: model)
    eager = ChangeDetectionInferencer(weights='x.pth', show_progress=False)(pair, tile=128, overlap=32)
    one, other = (result['predictions'][0]['probability'] for result in (results, eager))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_fixed_size(model, tmp_path, town):
    path = tmp_path / 'fixed.onnx'
    assert export.export_onnx(model, path, size=62) < 1e-4  # no multiple of the stride: extended inside the file
    exported = OnnxTileModel(path)
    assert exported.side == 62
    inferencer = ChangeDetectionInferencer(str(path), device='cpu', show_progress=False)
    assert inferencer(town(40, 100))['predictions'][0]['mask'].shape == (40, 100)
    with pytest.raises(ValueError, match=r'fixed\.onnx: was exported for images of 62 x 62 pixels, got 64 x 60'):
        exported.forward(np.zeros((1, 60, 64, 6), np.uint8))


def test_torch_export(model, traced, tmp_path, monkeypatch):
    monkeypatch.setattr(export, 'trace', lambda *args: traced)
    path = tmp_path / 'model.pt2'
    assert export.export_program(model, path) < 1e-4
    assert path.is_file()


def test_a_file_that_differs_is_not_left_there(model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, 'trace', lambda *args: None)
    monkeypatch.setattr(torch.export, 'save', lambda program, path: path.write_text('x'))
    monkeypatch.setattr(torch.export, 'load', lambda path: torch.export.ExportedProgram)
    wrong = torch.nn.Module()
    wrong.forward = lambda pair: torch.full((1, 1, *pair.shape[2:]), 2.)
    monkeypatch.setattr(torch.export.ExportedProgram, 'module', lambda: wrong)
    with pytest.raises(ValueError, match='was not written, because the exported model differs from the original by'):
        export.export_program(model, tmp_path / 'model.pt2')
    assert list(tmp_path.iterdir()) == []


def test_bad_onnx_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.onnx does not exist'):
        OnnxTileModel(tmp_path / 'none.onnx')
    text = tmp_path / 'text.onnx'
    text.write_text('no model')
    with pytest.raises(ValueError, match='text.onnx: cannot be read as an ONNX model'):
        OnnxTileModel(text)
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in 'xy')
    graph = onnx.helper.make_graph([onnx.helper.make_node('Abs', ['x'], ['y'])], 'g', [x], [y])
    foreign = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=9)
    onnx.save(foreign, tmp_path / 'foreign.onnx')
    with pytest.raises(ValueError, match='foreign.onnx: was not written by tools/export.py'):
        OnnxTileModel(tmp_path / 'foreign.onnx')
