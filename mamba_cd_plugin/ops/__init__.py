from .backends import available_backends, resolve_backend
from .cross_scan import cross_merge, cross_scan
from .cross_selective_scan import cross_selective_scan
from .selective_scan import selective_scan
from .selective_scan_ref import selective_scan_ref

__all__ = [
    'available_backends', 'cross_merge', 'cross_scan', 'cross_selective_scan', 'resolve_backend', 'selective_scan',
    'selective_scan_ref'
]
