from .change_panel import draw_change_panel
from .change_visualizer import ChangeVisualizer

__all__ = ['ChangeVisualizer', 'draw_change_panel']
