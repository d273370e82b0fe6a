import pytest
import torch
from torch import nn

from mamba_cd_plugin.ops import cross_selective_scan

pytestmark = pytest.mark.usefixtures('c_backend')


class CrossScan(nn.Module):
    """Holds the weights of a cross scan."""

    def __init__(self, inputs, backend='auto'):
        super().__init__()
        self.weights = nn.ParameterList(inputs[2:])
        self.backend = backend

    def forward(self, x, proj):
        return cross_selective_scan(x, proj, *self.weights, backend=self.backend)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_cross_op_is_a_proper_torch_op(maps, dtype):
    inputs = [t.to(dtype).requires_grad_() for t in maps(2, 3, 5, 4, 2, 2)]
    torch.library.opcheck(torch.ops.mamba_cd.cross_selective_scan.default, inputs)


@pytest.mark.parametrize('absent', [(), (5, 6)])
def test_sequence_op_is_a_proper_torch_op(sequences, absent):
    inputs = [None if i in absent else t.requires_grad_() for i, t in enumerate(sequences(2, 2, 3, 5, 2))]
    torch.library.opcheck(torch.ops.mamba_cd.selective_scan.default, (*inputs, True))


def test_compile_sees_one_op(maps, gradients, assert_close):
    inputs = maps(1, 4, 5, 6, 2, 1)
    compiled = torch.compile(lambda *tensors: 2 * cross_selective_scan(*tensors), fullgraph=True, backend='aot_eager')
    assert_close(gradients(compiled, inputs), gradients(lambda *t: 2 * cross_selective_scan(*t), inputs), 1e-6)


def test_export_sees_one_op(maps):
    inputs = maps(1, 4, 5, 6, 2, 1)
    model = CrossScan(inputs)
    program = torch.export.export(model, tuple(inputs[:2]))
    names = [str(node.target) for node in program.graph.nodes if node.op == 'call_function']
    assert names == ['mamba_cd.cross_selective_scan.default']
    assert torch.equal(program.module()(*inputs[:2]), model(*inputs[:2]))


@pytest.mark.filterwarnings('ignore')  # the tracer's remarks on shapes
@pytest.mark.parametrize('backend, dynamo', [('auto', True), ('c', False)])
def test_onnx_export_takes_standard_ops(maps, tmp_path, backend, dynamo, assert_close):
    onnx = pytest.importorskip('onnx')
    if dynamo:
        pytest.importorskip('onnxscript')
    inputs = maps(1, 4, 5, 6, 2, 1)
    model = CrossScan(inputs, backend).eval()
    path = str(tmp_path / 'scan.onnx')
    torch.onnx.export(model, tuple(inputs[:2]), path, dynamo=dynamo, opset_version=18)
    assert {node.domain for node in onnx.load(path).graph.node} <= {'', 'ai.onnx'}
    runtime = pytest.importorskip('onnxruntime').InferenceSession(path, providers=['CPUExecutionProvider'])
    feeds = {i.name: t.numpy() for i, t in zip(runtime.get_inputs(), inputs[:2])}
    assert_close([torch.from_numpy(runtime.run(None, feeds)[0])], [model(*inputs[:2])], 1e-5)
