"""Hook that logs versions, device and scan backend in one line."""
import mmcv
import mmengine
import mmseg
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn

from mamba_cd_plugin.models.layers import SS2D
from mamba_cd_plugin.ops import resolve_backend
from mamba_cd_plugin.version import __version__


def summarize_run(model: nn.Module) -> str:
    """Versions, device, threads and the scan's backend for a model, in one line."""
    device = next(model.parameters()).device
    scans = sorted({resolve_backend(m.scan_backend, device) for m in model.modules() if isinstance(m, SS2D)})
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else str(device)
    return ' | '.join([
        f'mamba_cd_plugin {__version__}', f'scan {", ".join(scans) or "none"}', f'{name}',
        f'{torch.get_num_threads()} threads', f'torch {torch.__version__}', f'mmengine {mmengine.__version__}',
        f'mmcv {mmcv.__version__}', f'mmseg {mmseg.__version__}'
    ])


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Log the line at the start of every run: mmengine's own list of versions leaves this package out.

    Together with ``python -m mamba_cd_plugin.doctor`` it is what a report of a bug needs.
    """

    def before_run(self, runner: Runner) -> None:
        """Log the line."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        runner.logger.info(summarize_run(model))
