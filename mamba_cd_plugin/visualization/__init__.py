from .. import stack  # noqa: F401  before all that imports mmseg
from .change_visualizer import ChangeVisualizer
from .drawing import draw_change_panel

__all__ = ['ChangeVisualizer', 'draw_change_panel']
