"""Registers every component in mmseg's registries when it is imported: the module for a config's ``custom_imports``.

In Python, ``mamba_cd_plugin.register_all_modules()`` does the same.
"""
from . import datasets, engine, evaluation, models, stack, visualization  # noqa: F401  each registers its components
