"""What the benchmark runs: scans, encoders, models and training steps, each made from a few plain values; and the peak
memory of one of them, measured in a process of its own."""
import importlib
import inspect
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import SS2D, build_part
from mamba_cd_plugin.ops import resolve_backend, selective_scan

from ..engine.machine import keep_freed_memory
from .complexity import replaced_scan
from .machine import resident

KINDS = ('op', 'encoder', 'model')
# In place of a backend: the scan gives back its input, so that what remains is the cost of everything else.
IDENTITY = 'identity'
Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One thing to measure. Plain values only, so that another process can make it again.

    Attributes:
        name: name in the table.
        kind: one of ``KINDS``.
        scan: backend of the selective scan, ``identity``, or for an op an expression of ``EXPRESSIONS``; with
            ``other`` of no effect.
        train: an op forward and backward, a network for a whole training step; otherwise forward.
        shape: op: (N, K, C, L, S); others: (N, H, W) of the pair.
        config: file of the model.
        other: ``package.module:factory`` of another model, made by a call without arguments.
        threads: number of threads of torch.
    """
    name: str
    kind: str
    scan: str
    train: bool
    shape: Sequence[int]
    config: str = ''
    other: str = ''
    threads: int = 2


def scan_inputs(shape: Sequence[int]) -> dict[str, Tensor]:
    """Arguments of ``selective_scan`` as in a model at its start: steps of 0.001 to 0.1, A around -1."""
    n, k, c, length, s = shape
    generator = torch.Generator().manual_seed(0)

    def randn(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    return dict(u=randn(n, k * c, length), delta=randn(n, k * c, length), A=-randn(k * c, s).mul(0.3).exp(),
                B=randn(n, k, s, length), C=randn(n, k, s, length), D=randn(k * c), delta_bias=randn(k * c) - 4)


# What the scan is compared with: reading two inputs and writing one output, and one exponential an element.
EXPRESSIONS: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
    'u + delta': lambda tensors: tensors['u'] + tensors['delta'],
    'exp(delta)': lambda tensors: tensors['delta'].exp(),
}


def _prepare_op(case: Case) -> Step:
    tensors: dict[str, Any] = scan_inputs(case.shape)
    if case.scan in EXPRESSIONS:
        return lambda: EXPRESSIONS[case.scan](tensors)
    if not case.train:
        return lambda: selective_scan(**tensors, backend=case.scan)
    grad = torch.randn(tensors['u'].shape, generator=torch.Generator().manual_seed(1))
    leaves: dict[str, Any] = {name: tensor.requires_grad_() for name, tensor in tensors.items()}

    def forward_and_backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(selective_scan(**leaves, backend=case.scan), list(leaves.values()), grad)

    return forward_and_backward


def identity_scan() -> AbstractContextManager:
    """While this is open, the scan inside every SS2D gives back its input.

    What feeds the scan alone (``x_proj``, the steps) then gets no gradient, so that a training step does a little less
    than the rest of the model would: the comparison is strict.
    """
    return replaced_scan(lambda x, *_, **__: x)


def import_factory(path: str) -> Callable[[], nn.Module]:
    """The function that ``package.module:factory`` names.

    Raises:
        ValueError: if it is not of this form, or the module has no such function.
    """
    module_name, _, name = path.partition(':')
    if not name:
        raise ValueError(f'{path!r} names no factory; expected package.module:factory, with the package on PYTHONPATH')
    module = importlib.import_module(module_name)
    if not callable(getattr(module, name, None)):
        raise ValueError(f'{module_name} has no function {name!r}; expected package.module:factory')
    return getattr(module, name)


def _takes_two_images(module: nn.Module) -> bool:
    parameters = inspect.signature(module.forward).parameters.values()
    return sum(p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD for p in parameters) == 2


def _tensors(output: object) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and dicts."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list, dict)):
        for part in output.values() if isinstance(output, dict) else output:
            yield from _tensors(part)


def _build(case: Case) -> nn.Module:
    torch.manual_seed(0)
    if case.other:
        return import_factory(case.other)()
    config = Config.fromfile(case.config).model
    model = build_part(config.backbone if case.kind == 'encoder' else config)
    for module in model.modules():
        if isinstance(module, SS2D):
            module.scan_backend = 'auto' if case.scan == IDENTITY else resolve_backend(case.scan)
    return model


def random_labels(n: int, height: int, width: int) -> list[SegDataSample]:
    """A block of change in each image, about 6 % of it."""
    labels = torch.zeros(n, 1, height, width, dtype=torch.long)
    labels[..., :height // 4, :width // 4] = 1
    return [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]


def _prepare_network(case: Case) -> Step:
    model, (n, height, width) = _build(case), case.shape
    pair = torch.randn(n, 6, height, width, generator=torch.Generator().manual_seed(0))
    inputs = pair.chunk(2, 1) if _takes_two_images(model) else (pair, )
    scan: Callable[[], AbstractContextManager] = identity_scan if case.scan == IDENTITY else nullcontext
    if not case.train:
        model.eval()

        def forward() -> object:
            with torch.inference_mode(), scan():
                return model(*inputs)

        return forward
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    samples = random_labels(n, height, width)
    has_losses = case.kind == 'model' and not case.other

    def training_step() -> None:
        with scan():
            if has_losses:
                loss = sum(model(pair, samples, mode='loss').values())
            else:
                loss = sum(tensor.square().mean() for tensor in _tensors(model(*inputs)))
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return training_step


def prepare(case: Case) -> Step:
    """Make the case's tensors and modules; calling the result runs it once.

    Raises:
        ValueError: if the kind is unknown.
    """
    torch.set_num_threads(case.threads)
    if case.kind not in KINDS:
        raise ValueError(f'case {case.name!r}: kind {case.kind!r} is unknown; there are {", ".join(KINDS)}')
    return _prepare_op(case) if case.kind == 'op' else _prepare_network(case)


MIB = 2**20


def measure_here(case: Case) -> dict[str, float]:
    """Peak resident memory of this process while a case is prepared and run twice, in MiB.

    On Linux this is the kernel's high-water mark, which a fresh process starts at zero; ``getrusage``, used elsewhere,
    can carry over the mark of the process that started this one.

    Returns:
        ``total``, and ``above_start``: what weights, inputs and the calls themselves added to the imported libraries.
    """
    before = resident('VmRSS') or _ru_maxrss()
    function = prepare(case)
    for _ in range(2):  # the second call meets what the first one left: optimizer states, gradients, caches
        function()
    peak = resident('VmHWM') or _ru_maxrss()
    return dict(total=peak / MIB, above_start=(peak - before) / MIB)


def _ru_maxrss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_memory(case: Case) -> dict[str, float]:
    """Like ``measure_here``, in a fresh process.

    Not in a fork: a forked process may hang in OpenMP, whose threads do not survive the fork.

    Raises:
        RuntimeError: if the process fails, with the last line that it said.
    """
    command = [sys.executable, '-m', 'mamba_cd_plugin.analysis.cases', json.dumps(asdict(case))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = result.stderr.strip().splitlines() or ['nothing said; a process that asks for too much memory is killed']
        raise RuntimeError(f'measuring the memory of {case.name!r} failed with exit status {result.returncode}: '
                           f'{said[-1]}')
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == '__main__':
    keep_freed_memory()
    sys.stdout.write(json.dumps(measure_here(Case(**json.loads(sys.argv[1])))) + '\n')
