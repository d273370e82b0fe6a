"""Whole regions: many rasters of two dates, predicted in blocks of one grid, on one machine or many."""
