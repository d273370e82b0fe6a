"""A matplotlib figure as SVG that lives inside a page and follows its light or dark colours."""
import io
import re
from typing import Mapping

from matplotlib import rc_context
from matplotlib.figure import Figure

# Drawn in exactly these colours, and replaced by what the page's style sheet says.
INK, GRID = '#2b2d30', '#d4d7db'
PAGE_COLORS = {INK: 'currentColor', GRID: 'var(--line)'}


def to_inline_svg(figure: Figure, name: str, label: str, colors: Mapping[str, str]) -> str:
    """The ``<svg>`` element of a figure, without header, metadata, namespaces and addresses.

    Text stays text in the font of the page. Its ids start with ``name``, because a page holds several figures, and
    matplotlib would number the parts of each alike.

    Args:
        figure: With a transparent background.
        name: Different for every figure of a page.
        label: What is to be seen, for a screen reader.
        colors: Replacements of colours as CSS values, besides those of the ink and the grid.
    """
    file = io.StringIO()
    with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': name}):
        figure.savefig(file, format='svg', transparent=True)
    svg = file.getvalue()
    svg = svg[svg.index('<svg'):]
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    # This style would apply to the whole page; report.css says the same of charts.
    svg = re.sub(r'<style.*?</style>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', '', svg).replace('xlink:href', 'href')
    # matplotlib writes `font: 8px 'DejaVu Sans', ...` or, with other versions, the family alone.
    svg = re.sub(r"(font:[^;\"']*|font-family: *)'[^;\"]*", r'\1var(--font)', svg)
    for color, value in {**PAGE_COLORS, **colors}.items():
        svg = re.sub(re.escape(color), value, svg, flags=re.IGNORECASE)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r'\sid="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else '', svg)
    svg = re.sub(r'(url\(#|href="#)', rf'\g<1>{name}-', svg)
    # The size follows the page; the view box keeps the proportions.
    head, rest = svg.split('>', 1)
    head = re.sub(r'\s(width|height)="[^"]*"', '', head)
    return f'{head} role="img" aria-label="{label}">{rest}'
