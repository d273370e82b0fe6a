"""Write the README's table of configs from the configs: python tools/analysis_tools/readme_table.py

What a model costs is taken from configs/metafile.yml, which tools/analysis_tools/metafile.py writes.
"""
import argparse
import re
from pathlib import Path
from typing import List

import yaml

ROOT = Path(__file__).parents[2]
# The table stands between these two lines; a reader of the rendered page does not see them.
BEGIN = '<!-- table of configs: begin, by tools/analysis_tools/readme_table.py -->'
END = '<!-- table of configs: end -->'


def describe(path: Path) -> str:
    """The comment at the top of a config, up to its first full stop or semicolon."""
    comment = ' '.join(re.findall(r'^# ?(.*)$', path.read_text(encoding='utf-8').split('_base_')[0], flags=re.M))
    return re.split(r'[.;](?: |$)', comment)[0]


def make_table() -> str:
    """The table in Markdown.

    Raises:
        SystemExit: if a config was not counted yet.
    """
    index = yaml.safe_load((ROOT / 'configs/metafile.yml').read_text(encoding='utf-8'))
    costs = {entry['Name']: entry['Metadata'] for entry in index['Models']}
    rows: List[str] = ['| config | what it is | parameters | FLOPs |', '|---|---|---|---|']
    for path in sorted((ROOT / 'configs').glob('cdmamba_v*.py')):
        if path.stem not in costs:
            raise SystemExit(f'configs/metafile.yml lacks {path.stem}: run python tools/analysis_tools/metafile.py')
        cost = costs[path.stem]
        training = f' ({cost["Training FLOPs"] / 1e9:.1f} G in training)' if 'Training FLOPs' in cost else ''
        rows.append(f'| [{path.stem}](configs/{path.name}) | {describe(path)} | {cost["Parameters"] / 1e6:.1f} M | '
                    f'{cost["FLOPs"] / 1e9:.1f} G{training} |')
    return '\n'.join(rows)


def main() -> None:
    """Replace the table in the README, or with --check say whether it is true."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
