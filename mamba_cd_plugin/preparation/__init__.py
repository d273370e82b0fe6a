"""Data sets before training: converters to tiles, and the check of a folder of pairs."""
