from . import hooks, loops, optim_constructor, precision  # noqa: F401  each registers its parts
