"""Pictures, labels and rasters: every tool reads and writes image files through this room."""
