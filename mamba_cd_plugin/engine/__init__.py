from .. import stack  # noqa: F401  before all that imports mmseg
from . import (  # noqa: F401  each registers its parts
    averaged_weights,
    hooks,
    loops,
    optim_constructor,
    precision,
    protocol_test_loop,
)
