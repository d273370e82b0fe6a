from . import hooks, loops, optim_constructor  # noqa: F401  each registers its parts
