"""Check this machine's GPU: the scan's backends, their speed, the model's, mixed precision; what does not hold.

Writes check_gpu.md and check_gpu.json after each row. Exit status: 0 if everything holds, 1 if not, 2 without a GPU.
"""
import argparse
import logging
import os
import sys
from pathlib import Path

# Those that matter most come first, each with seconds that it may take, so that a slow one leaves time for the others;
# they are more than most need, and together more than --seconds.
SECTIONS = {'warm-up': 90., 'correctness': 40., 'scan': 45., 'profile': 15., 'model': 70., 'training': 120., 'run': 90.,
            'compiled': 100., 'more of the model': 60., 'several GPUs': 40., 'tuning': 60.}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sections', nargs='+', choices=SECTIONS, default=list(SECTIONS), help='in this order')
    parser.add_argument('--seconds', type=float, default=470.,
                        help='after so many no further section is begun; each has a limit of its own too, unless '
                        'sections are chosen')
    parser.add_argument('--interpret', action='store_true',
                        help="without a GPU: toy sizes on the CPU, Triton's kernels in its interpreter")
    parser.add_argument('--out', type=Path, default=Path('work_dirs/check_gpu'), help='folder of the two files')
    return parser.parse_args()


def main() -> int:
    """Run the sections; the exit status."""
    args = parse_args()
    if args.interpret:
        os.environ['TRITON_INTERPRET'] = '1'  # counts when triton is imported
    import torch
    if not args.interpret and not torch.cuda.is_available():
        print(f'There is no GPU here that torch {torch.__version__} sees, and nothing was checked. --interpret runs '
              'what can be run on a CPU.', file=sys.stderr)
        return 2
    import mamba_cd_plugin.registration  # noqa: F401
    from mamba_cd_plugin.analysis import gpu_check
    from mamba_cd_plugin.analysis.gpu_report import GpuReport
    from mamba_cd_plugin.analysis.machine import machine_line
    from mamba_cd_plugin.ops import available_backends
    logging.disable(logging.INFO)  # mmengine logs the start of each parameter
    sizes = gpu_check.TOY if args.interpret else gpu_check.Sizes()
    report = GpuReport(args.out, args.seconds)
    report.facts['machine'] = machine_line()
    if not args.interpret:
        properties = torch.cuda.get_device_properties(0)
        report.facts['GPU'] = (f'{properties.name}, {properties.total_memory / 2**30:.0f} GiB, compute capability '
                               f'{properties.major}.{properties.minor}, CUDA {torch.version.cuda}')
        # On an H200 its trials took 40 to 60 s before the first step of each precision and batch.
        report.facts['cudnn.benchmark'] = f'{torch.backends.cudnn.benchmark}; the configs for long trainings have it on'
    for name, (usable, reason) in available_backends().items():
        report.facts[f'backend {name}'] = 'there' if usable else f'not there: {reason}'
    limits = SECTIONS if args.sections == list(SECTIONS) else dict.fromkeys(SECTIONS, args.seconds)
    for name in args.sections:
        report.run(name, gpu_check.SECTIONS[name](report, sizes), limits[name])
    print(report.markdown())
    return 1 if report.failures() else 0


if __name__ == '__main__':
    sys.exit(main())
