from . import checkpoint, hooks, loops  # noqa: F401  each registers its parts
