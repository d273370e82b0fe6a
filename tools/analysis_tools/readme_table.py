"""Write the README's table of configs from the configs: python tools/analysis_tools/readme_table.py"""
import argparse
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

import mamba_cd_plugin  # noqa: F401  registers everything

ROOT = Path(__file__).parents[2]
# The table stands between these two lines; a reader of the rendered page does not see them.
BEGIN = '<!-- table of configs: begin, by tools/analysis_tools/readme_table.py -->'
END = '<!-- table of configs: end -->'


def describe(path: Path) -> str:
    """The comment at the top of a config, up to its first full stop or semicolon."""
    comment = ' '.join(re.findall(r'^# ?(.*)$', path.read_text(encoding='utf-8').split('_base_')[0], flags=re.M))
    return re.split(r'[.;](?: |$)', comment)[0]


def count_parameters(path: Path) -> int:
    """Parameters of a config's model."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(Config.fromfile(path).model)
    return sum(p.numel() for p in model.parameters())


def make_table() -> str:
    """The table in Markdown."""
    rows = ['| config | what it is | parameters |', '|---|---|---|']
    for path in sorted((ROOT / 'configs').glob('cdmamba_v*.py')):
        rows.append(f'| [{path.stem}](configs/{path.name}) | {describe(path)} | {count_parameters(path) / 1e6:.1f} M |')
    return '\n'.join(rows)


def main() -> None:
    """Replace the table in the README, or with --check say whether it is true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='change nothing; exit status 1 if the table is outdated')
    args = parser.parse_args()
    readme = ROOT / 'README.md'
    text = readme.read_text(encoding='utf-8')
    before, rest = text.split(BEGIN)
    new = f'{before}{BEGIN}\n{make_table()}\n{END}{rest.split(END)[1]}'
    if args.check and new != text:
        raise SystemExit('the table in README.md is outdated: run python tools/analysis_tools/readme_table.py')
    readme.write_text(new, encoding='utf-8')


if __name__ == '__main__':
    main()
