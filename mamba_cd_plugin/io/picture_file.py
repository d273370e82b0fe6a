"""Old name of the picture reader, until the last import of it is gone."""
from .pictures import Picture, read_picture

__all__ = ['Picture', 'read_picture']
