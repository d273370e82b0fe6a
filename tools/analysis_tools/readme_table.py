"""Write the tables of configs into the READMEs below configs: python tools/analysis_tools/readme_table.py

What a model costs, and its scores, are taken from configs/metafile.yml, which tools/analysis_tools/metafile.py writes.
"""
import argparse
from pathlib import Path
from typing import Dict, List

import yaml

from mamba_cd_plugin.resources import describe_config, list_configs

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
# The table stands between these two lines; a reader of the rendered page does not see them.
BEGIN = '<!-- table of configs: begin, by tools/analysis_tools/readme_table.py -->'
END = '<!-- table of configs: end -->'
# The page, and the folder whose configs it lists.
PAGES = {folder / 'README.md': folder for folder in sorted({path.parent for path in list_configs().values()})}
BASES = CONFIGS / '_base_'


def read_index() -> Dict[str, dict]:
    """The entries of the metafile, by the path of the config."""
    index = yaml.safe_load((CONFIGS / 'metafile.yml').read_text(encoding='utf-8'))
    return {entry['Config']: entry for entry in index['Models']}


def describe_scores(entry: dict) -> str:
    """What was scored, and by whom; empty where nothing was."""
    return '; '.join(f'{name.replace(", %", "")} {value} % ({result["Source"]})'
                     for result in entry.get('Results', []) for name, value in result['Metrics'].items())


def make_table(folder: Path, page: Path, entries: Dict[str, dict]) -> str:
    """The table of one folder in Markdown, with links that work from a page.

    Raises:
        SystemExit: If a config was not counted yet.
    """
    rows: List[List[str]] = []
    for path in sorted(folder.glob('*.py')):
        # Open-CD's configs are the models of those of the same name.
        counted = CONFIGS / path.name if folder.name == 'opencd' else path
        entry = entries.get(counted.relative_to(ROOT).as_posix())
        if entry is None:
            raise SystemExit(f'configs/metafile.yml lacks {path.stem}: run python tools/analysis_tools/metafile.py')
        cost = entry['Metadata']
        flops, training = (f'{cost.get(key, cost["FLOPs"]) / 1e9:.1f} G' for key in ('FLOPs', 'Training FLOPs'))
        more = '' if training == flops else f' ({training} in training)'
        rows.append([f'[{path.stem}]({path.relative_to(page.parent).as_posix()})', describe_config(path),
                     f'{cost["Parameters"] / 1e6:.1f} M', f'{flops}{more}',
                     describe_scores(entry)])
    head = ['config', 'what it is', 'parameters', 'FLOPs', 'scores']
    if not any(row[-1] for row in rows):  # a column of empty cells tells nothing
        head, rows = head[:-1], [row[:-1] for row in rows]
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def make_base_table() -> str:
    """The table of the files that configs are based on, in Markdown."""
    rows = [f'| [{name}]({name}) | {describe_config(BASES / name)} |'
            for name in sorted(path.relative_to(BASES).as_posix() for path in BASES.rglob('*.py'))]
    return '\n'.join(['| file | what it is |', '| --- | --- |', *rows])


def main() -> None:
    """Replace the tables, or with --check say whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='change nothing; exit status 1 if a table is outdated')
    args = parser.parse_args()
    entries = read_index()
    tables = {page: make_table(folder, page, entries) for page, folder in PAGES.items()}
    tables[BASES / 'README.md'] = make_base_table()
    for page, table in tables.items():
        text = page.read_text(encoding='utf-8')
        before, rest = text.split(BEGIN)
        new = f'{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}'
        if args.check and new != text:
            raise SystemExit(f'the table in {page.relative_to(ROOT)} is outdated: run python '
                             'tools/analysis_tools/readme_table.py')
        page.write_text(new, encoding='utf-8')


if __name__ == '__main__':
    main()
