"""The versions that were tried: the one table an installation is compared with. setup.py has the same bounds."""
import re
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Tried:
    """A distribution and what is known of its versions.

    Attributes:
        name: Of the distribution, as pip knows it.
        folder: What it installs, and what is imported.
        bounds: As in setup.py, '' for none.
        version: With which the tests were run.
    """

    name: str
    folder: str
    bounds: str
    version: str

    @property
    def requirement(self) -> str:
        """As pip and setup.py want it."""
        return self.name + self.bounds


# The OpenMMLab stack comes in two families, each of which owns the folders mmengine, mmcv and mmseg.
ONEDL = (
    Tried('onedl-mmengine', 'mmengine', '==0.10.12', '0.10.12'),
    Tried('onedl-mmcv', 'mmcv', '==2.3.6', '2.3.6'),
    Tried('onedl-mmsegmentation', 'mmseg', '==1.4.2', '1.4.2'),
)
UPSTREAM = (
    Tried('mmengine', 'mmengine', '>=0.10.4,<0.11', '0.10.7'),
    Tried('mmcv', 'mmcv', '>=2.0.0,<2.2', '2.1.0'),
    Tried('mmsegmentation', 'mmseg', '>=1.2,<1.3', '1.2.2'),
)
TORCH = Tried('torch', 'torch', '>=2.6', '2.13.0')
OTHERS = (
    TORCH,
    Tried('numpy', 'numpy', '', '2.4.6'),
    Tried('mamba-ssm', 'mamba_ssm', '>=2.2', ''),  # needs a GPU to build; its interface alone is tested
)
# Every distribution that installs one of the stack's folders.
OWNERS = {
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
}
TABLE = (*ONEDL, *UPSTREAM, *OTHERS)


def find_tried(name: str) -> Optional[Tried]:
    """The row of a distribution."""
    return next((row for row in TABLE if row.name == name), None)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: '2.13.0+cpu' gives (2, 13, 0).

    The packaging library knows more, but it may be missing where the doctor has to run.
    """
    match = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, match.group().split('.'))) if match else ()


def within(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as '>=2.0.0,<2.2'."""
    return all(_compare(release(version), part) for part in bounds.split(',') if part)


def _compare(version: tuple[int, ...], bound: str) -> bool:
    operator, limit = re.fullmatch(r'(>=|<|==)(.+)', bound).groups()
    limit = release(limit)
    length = max(len(version), len(limit))
    version, limit = (numbers + (0, ) * (length - len(numbers)) for numbers in (version, limit))
    return {'>=': version >= limit, '<': version < limit, '==': version == limit}[operator]
