from .. import stack  # noqa: F401  before all that imports mmseg
from . import hooks, loops, optim_constructor, precision, protocol_test_loop  # noqa: F401  each registers its parts
