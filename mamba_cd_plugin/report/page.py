"""The page: everything in one HTML file that asks nothing of the network."""
import html
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from jinja2 import Environment, FileSystemLoader
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from ..version import __version__
from ..visualization.drawing import OUTCOMES
from .charts import RUN_COLORS
from .gallery import Album
from .inline_svg import to_inline_svg
from .tables import Table

TEMPLATES = Path(__file__).parent / 'templates'
# How much white is mixed into a run's colour on dark paper, where the palette's blue would be hard to see.
LIGHTER = 0.35


@dataclass
class Part:
    """A heading, text, charts and tables; every piece may be absent."""
    title: str = ''
    text: str = ''
    charts: List[str] = field(default_factory=list)
    tables: List[Table] = field(default_factory=list)
    albums: List[Album] = field(default_factory=list)
    folded: bool = False
    code: str = ''


@dataclass
class Section:
    """What one entry of the page's navigation leads to."""
    anchor: str
    title: str
    parts: List[Part]


class Charts:
    """Turns figures into inline SVG, and writes each as a PNG beside the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, figure: Optional[Figure], name: str, label: str) -> List[str]:
        """The figure as a list of one SVG, or an empty one where there is no figure."""
        if figure is None:
            return []
        figure.savefig(self.folder / f'{name}.png', facecolor='white', transparent=False)
        colors = {color: f'var(--c{index})' for index, color in enumerate(RUN_COLORS)}
        return [to_inline_svg(figure, name, html.escape(label), colors)]


def run_colors() -> List[Dict[str, str]]:
    """The colours of the runs on light and on dark paper."""
    lighter = [to_hex([channel + (1 - channel) * LIGHTER for channel in to_rgb(color)]) for color in RUN_COLORS]
    return [dict(light=light, dark=dark) for light, dark in zip(RUN_COLORS, lighter)]


def render(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole page as text."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template('report.html').render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        style=(TEMPLATES / 'report.css').read_text(encoding='utf-8'),
        colors=run_colors(),
        legend=[(meaning, to_hex([channel / 255 for channel in color])) for meaning, color in OUTCOMES],
        made=f'{datetime.now():%Y-%m-%d %H:%M}',
        version=__version__)
