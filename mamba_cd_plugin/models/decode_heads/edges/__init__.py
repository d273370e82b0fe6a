"""The edge branches of a decoder level, and the edge maps of the images."""
from .dog_edge import DoGEdge
from .image_edges import SiameseImageEdge, StackedImageEdge
from .laplacian_edge import LaplacianEdge, LaplacianMap

__all__ = ['DoGEdge', 'LaplacianEdge', 'LaplacianMap', 'SiameseImageEdge', 'StackedImageEdge']
