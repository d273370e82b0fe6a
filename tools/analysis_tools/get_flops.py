"""Parameters and FLOPs of a config's model, part by part, the selective scan included.

python tools/analysis_tools/get_flops.py configs/cdmamba_v8_levircd.py --shape 512 512
"""
import argparse
import json
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.logging import print_log

import mamba_cd_plugin  # noqa: F401  registers everything
from mamba_cd_plugin.analysis.complexity import measure_complexity
from mamba_cd_plugin.analysis.complexity_report import as_json, format_complexity
from mamba_cd_plugin.cli.experiment import merge_options


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--shape', type=int, nargs='+', default=[256], metavar='PX', help='side, or height and width')
    parser.add_argument('--json', metavar='FILE', help='write everything to this file too; - for stdout only')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='settings to override, key=value with dotted keys')
    return parser.parse_args()


def main() -> None:
    """Count and report, or end with a line that says why not."""
    args = parse_args()
    try:
        cfg = Config.fromfile(args.config)
        merge_options(cfg, args.cfg_options)
        complexity = measure_complexity(cfg, args.shape * 2 if len(args.shape) == 1 else args.shape)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    text = json.dumps(dict(config=args.config, **as_json(complexity)), indent=2)
    if args.json == '-':
        print_log(text)
    else:
        print_log(format_complexity(complexity))
        if args.json:
            Path(args.json).write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
