"""``python -m mamba_cd_plugin`` is ``mamba-cd``."""
import sys

from .cli import main

if __name__ == '__main__':
    sys.exit(main())
