"""What the commands that load models do to their own process; no module of the package does any of it on import."""
from .. import register_all_modules


def prepare_process() -> None:
    """Register the components, keep freed memory, and read checkpoints as data only."""
    register_all_modules()
    from ..engine.checkpoint import use_safe_loaders
    from ..engine.machine import keep_freed_memory
    keep_freed_memory()
    use_safe_loaders()
