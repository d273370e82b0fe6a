"""Imports the stack, examines the scan and runs the self-test (forward, backward, save and load of a toy V8).

``python -m mamba_cd_plugin.doctor.probe`` is a process of its own. Each step prints two lines of JSON to stdout, one
when it starts and one with what it found, so that the parent knows where a process ended that crashed. A step that
fails is the last.
"""
import importlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

# Of the self-test.
CHANNELS = [16, 32, 64, 128]
SIDE = 64  # px


def look_at_torch() -> dict[str, Any]:
    """Version, build and threads of torch, and whether it can read numpy's arrays."""
    import numpy
    import torch
    torch.from_numpy(numpy.zeros(1))  # fails where torch was built for another major version of numpy
    cuda = torch.cuda.is_available()
    return dict(version=torch.__version__, cuda=torch.version.cuda or torch.version.hip, cuda_available=cuda,
                device=torch.cuda.get_device_name() if cuda else 'cpu', threads=torch.get_num_threads(),
                cpu=torch.backends.cpu.get_cpu_capability())


def look_at(module: str) -> Callable[[], dict[str, Any]]:
    """A step that imports a module and returns its version and folder."""

    def step() -> dict[str, Any]:
        found = importlib.import_module(module)
        return dict(version=getattr(found, '__version__', ''), file=os.path.dirname(found.__file__ or ''))

    return step


def look_at_scan() -> dict[str, Any]:
    """The backends of the selective scan, the one that is used here, and what the C kernel needs."""
    import torch

    from mamba_cd_plugin.ops.backends import BACKENDS, available_backends, resolve_backend
    from mamba_cd_plugin.ops.cpu_kernel import KernelUnavailable, cache_dirs, find_compiler, why_unusable
    from mamba_cd_plugin.ops.mamba_kernel import INSTALL_COMMAND, load_mamba_kernel
    try:
        compiler = find_compiler()
    except KernelUnavailable:
        compiler = []
        version = ''
    else:
        answer = subprocess.run([*compiler, '--version'], capture_output=True, text=True, check=False)
        version = answer.stdout.partition('\n')[0]
    folder = cache_dirs()[0]
    chosen = resolve_backend('auto', 'cuda' if torch.cuda.is_available() else 'cpu')
    return dict(chosen=chosen, title=BACKENDS[chosen].title,
                unavailable={name: reason for name, (usable, reason) in available_backends().items() if not usable},
                compiler=shlex.join(compiler), compiler_version=version, cache=str(folder),
                cache_unusable=why_unusable(folder), mamba_kernel=load_mamba_kernel()[1], mamba_install=INSTALL_COMMAND)


def toy_v8() -> dict[str, Any]:
    """Config of V8 with the encoder `toy`; an installed package has no folder of configs to read it from."""
    style = dict(norm_cfg=dict(type='BN'), act_cfg=dict(type='SiLU'))
    reduction = dict(type='BottleneckReduction')
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='SiameseVSSM', arch='toy'),
        neck=dict(type='BitemporalFusionNeck', in_channels=CHANNELS, difference=dict(type='FullDifferenceBlock'),
                  **style),
        decode_head=dict(
            type='EdgeGuidedHead', in_channels=CHANNELS, skip=dict(type='FuseThenVSS', reduction=reduction),
            block=dict(type='LSSM', kernel_sizes=(5, 7)), edge=dict(type='DoGEdge', reduction=reduction),
            fusion=dict(type='AttentionalFeatureFusion', gate='tanh'),
            final=dict(type='FinalUpsampler', widths=(32, 16)),
            loss_decode=dict(focal=dict(type='BinaryFocalLoss', alpha=0.75)), **style),
        train_cfg=dict(), test_cfg=dict(mode='whole'))


class SelfTest:
    """The steps, to be run in the order of :meth:`steps`. On CUDA where torch sees a device, else on the CPU."""

    def steps(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """The steps by name; each returns facts for the report."""
        return dict(build=self.build, forward=self.forward, backward=self.backward, save=self.save, load=self.load)

    def build(self) -> dict[str, Any]:
        """Build the model and a pair with a changed square."""
        import torch
        from mmengine.registry import init_default_scope
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample
        init_default_scope('mmseg')
        torch.manual_seed(0)
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.model = self._new_model().to(device)
        self.pair = torch.randn(2, 6, SIDE, SIDE, device=device)
        label = torch.zeros(1, SIDE, SIDE, dtype=torch.long, device=device)
        label[:, SIDE // 4:SIDE // 2, SIDE // 4:SIDE // 2] = 1
        self.samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for _ in self.pair]
        return dict(parameters=sum(p.numel() for p in self.model.parameters()))

    def _new_model(self) -> Any:
        from mmseg.registry import MODELS
        return MODELS.build(toy_v8())

    def forward(self) -> dict[str, Any]:
        """The losses of the pair."""
        losses = self.model.loss(self.pair, self.samples)
        self.loss = sum(value for name, value in losses.items() if 'loss' in name)
        return dict(loss=round(float(self.loss), 4))

    def backward(self) -> dict[str, Any]:
        """Gradients of all parameters.

        Raises:
            RuntimeError: If one is missing or not finite.
        """
        self.loss.backward()
        wrong = [name for name, p in self.model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        if wrong:
            raise RuntimeError(f'no finite gradient for {", ".join(wrong)}')
        return {}

    def save(self) -> dict[str, Any]:
        """Write a checkpoint, and keep the prediction of its weights."""
        import torch
        from mmengine.runner.checkpoint import save_checkpoint
        self.model.eval()
        with torch.no_grad():
            self.expected = self.model(self.pair)
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, 'self_test.pth')
        save_checkpoint(dict(state_dict=self.model.state_dict()), self.path)
        return dict(size_kb=os.path.getsize(self.path) // 1024)

    def load(self) -> dict[str, Any]:
        """Load the checkpoint into another model, which must predict the same.

        Raises:
            RuntimeError: If it does not.
        """
        import torch
        from mmengine.runner.checkpoint import load_checkpoint
        model = self._new_model().to(self.pair.device).eval()
        load_checkpoint(model, self.path, map_location='cpu', strict=True, logger='silent')
        self.folder.cleanup()
        with torch.no_grad():
            difference = float((model(self.pair) - self.expected).abs().max())
        if not difference <= 1e-4:  # NaN fails too
            raise RuntimeError(f'the logits of the loaded model differ by {difference:g}')
        return dict(difference=difference)


def steps() -> dict[str, Callable[[], dict[str, Any]]]:
    """All steps in their order: each needs only what comes before it."""
    test = SelfTest()
    return {
        'torch': look_at_torch,
        'mmengine': look_at('mmengine'),
        'scan': look_at_scan,
        'mmcv': look_at('mmcv'),
        'mmseg': look_at('mmseg'),
        'registration': look_at('mamba_cd_plugin.registration'),
        **{f'self-test: {name}': step for name, step in test.steps().items()},
    }


def say(step: str, **facts: Any) -> None:
    """Print one line of JSON for the parent process."""
    print(json.dumps(dict(step=step, **facts)), flush=True)


def main() -> int:
    """Run the steps; exit status 1 if one fails."""
    for name, step in steps().items():
        say(name, started=True)
        start = time.perf_counter()
        try:
            with redirect_stdout(sys.stderr):  # what libraries print would mix with the lines
                facts = step()
        except Exception as error:  # the probe is there to find out which
            say(name, error=str(error) or repr(error), kind=type(error).__name__,
                missing=getattr(error, 'name', None) if isinstance(error, ModuleNotFoundError) else None)
            return 1
        say(name, seconds=round(time.perf_counter() - start, 2), **facts)
    return 0


if __name__ == '__main__':
    sys.exit(main())
