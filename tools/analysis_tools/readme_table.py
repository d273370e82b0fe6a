"""Write the tables of configs and of packaged weights into their pages: python tools/analysis_tools/readme_table.py

Configs are listed in configs/README.md and configs/*/README.md; what a model costs, and its scores, are taken from
configs/metafile.yml, which tools/analysis_tools/metafile.py writes. Weights are listed in README.md and docs/models.md,
from their cards.
"""
import argparse
from collections.abc import Sequence
from pathlib import Path

import yaml

from mamba_cd_plugin.resources import describe_config, list_configs
from mamba_cd_plugin.zoo import TABLE_HEAD, Card, list_weights, tabulate_weights

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
MODELS = ROOT / 'docs/models.md'
# The table stands between these two lines; a reader of the rendered page does not see them.
BEGIN = '<!-- {}: begin, by tools/analysis_tools/readme_table.py -->'
END = '<!-- {}: end -->'
# The page, and the folder whose configs it lists.
PAGES = {folder / 'README.md': folder for folder in sorted({path.parent for path in list_configs().values()})}
BASES = CONFIGS / '_base_'


def read_index() -> dict[str, dict]:
    """The entries of the metafile, by the path of the config."""
    index = yaml.safe_load((CONFIGS / 'metafile.yml').read_text(encoding='utf-8'))
    return {entry['Config']: entry for entry in index['Models']}


def describe_scores(entry: dict) -> str:
    """What was scored, and by whom; empty where nothing was."""
    return '; '.join(f'{name.replace(", %", "")} {value} % ({result["Source"]})'
                     for result in entry.get('Results', []) for name, value in result['Metrics'].items())


def make_table(folder: Path, page: Path, entries: dict[str, dict]) -> str:
    """The table of one folder in Markdown, with links that work from a page.

    Raises:
        SystemExit: If a config was not counted yet.
    """
    rows: list[list[str]] = []
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
    return to_markdown(head, rows)


def to_markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return '\n'.join(f'| {" | ".join(line)} |' for line in (head, ['---'] * len(head), *rows))


def make_weights_table(page: Path) -> str:
    """The table of the packaged weights, with links to their cards."""
    target = '' if page == MODELS else MODELS.relative_to(page.parent).as_posix()
    rows = [[f'[{name}]({target}#{name})', *rest, f'`{checksum}`']
            for name, *rest, checksum in tabulate_weights()]
    return to_markdown(TABLE_HEAD, rows) if rows else 'This version comes without weights.'


def describe_card(card: Card) -> str:
    """The section of docs/models.md about some weights."""
    scores = to_markdown(
        ['data', 'protocol', 'F1, %', 'precision, %', 'recall, %'],
        [[score.data, score.protocol, *('' if value is None else f'{value:.1f}' for value in score[2:])]
         for score in card.scores])
    return f'''### {card.name}

Trained on {card.trained_on}. {card.good_for}

**Limits.** {card.limits}

**Licence.** {card.licence}. {card.terms}

{scores}

Config `{card.config}`, commit `{card.commit}`, trained by

    {card.recipe}

File `{card.file}`, {card.size:,} bytes, SHA-256 `{card.sha256}`.'''


def replace_section(text: str, name: str, content: str) -> str:
    """The text of a page with another section between its markers."""
    begin, end = BEGIN.format(name), END.format(name)
    before, rest = text.split(begin)
    return f'{before}{begin}\n{content}\n{end}{rest.split(end)[1]}'


def make_base_table() -> str:
    """The table of the files that configs are based on, in Markdown."""
    rows = [[f'[{name}]({name})', describe_config(BASES / name)]
            for name in sorted(path.relative_to(BASES).as_posix() for path in BASES.rglob('*.py'))]
    return to_markdown(['file', 'what it is'], rows)


def main() -> None:
    """Replace the tables, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='change nothing; exit status 1 if a table is outdated')
    args = parser.parse_args()
    entries = read_index()
    sections = [(page, 'table of configs', make_table(folder, page, entries)) for page, folder in PAGES.items()]
    sections.append((BASES / 'README.md', 'table of configs', make_base_table()))
    sections += [(page, 'table of weights', make_weights_table(page)) for page in (ROOT / 'README.md', MODELS)]
    sections.append((MODELS, 'cards', '\n\n'.join(map(describe_card, list_weights().values()))))
    for page, name, content in sections:
        text = page.read_text(encoding='utf-8')
        new = replace_section(text, name, content)
        if args.check and new != text:
            raise SystemExit(f'{page.relative_to(ROOT)} is outdated ({name}): run python '
                             'tools/analysis_tools/readme_table.py')
        page.write_text(new, encoding='utf-8')


if __name__ == '__main__':
    main()
