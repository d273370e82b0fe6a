"""What a check looks at and what it says."""
from dataclasses import dataclass, field
from typing import Iterator

from ..listing import SplitListing
from ..measure import FileFacts, PairFacts

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
LEVELS = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Limits:
    """From where on something is found. Lengths in px, shares from 0 to 1.

    Attributes:
        max_shift: Of one pair.
        max_common_shift: Of the median over a split: what all pairs have in common is a mistake of the processing, or
            can be undone.
        min_certainty: Of a shift; see :class:`.registration.Shift`.
        near_share: How near, as a share of the shorter side, the shifts of pairs of the same ground gather.
        min_matched: Share of the pairs of a split whose shifts do so. For real dates it is 0.96 in images of 512 px,
            0.84 of 256, 0.67 of 128 and 0.52 of 64; for images of different places 0.05 to 0.16.
        max_changed: Share of changed pixels.
        max_blank: Share of black or white pixels in an image.
        sliver: Changed pixels that are next to none, as a share of the tile: 33 pixels of a tile of 256.
    """

    max_shift: float = 2.
    max_common_shift: float = 1.
    min_certainty: float = 10.
    near_share: float = 1 / 16
    min_matched: float = 0.35
    max_changed: float = 0.5
    max_blank: float = 0.5
    sliver: float = 5e-4


@dataclass(frozen=True)
class Finding:
    """Something to know about a data set.

    Attributes:
        check: Which check it comes from.
        level: ``error``: training fails or its score is wrong; ``warning``: it may be; ``note``: good to know.
        split: Where, '' for several splits.
        message: What was found and what to do.
        names: The pairs or files, all of them.
    """

    check: str
    level: str
    split: str
    message: str
    names: list[str] = field(default_factory=list)


@dataclass
class SplitFacts:
    """A split: its files and what was measured of its pairs."""

    listing: SplitListing
    pairs: list[PairFacts]

    @property
    def name(self) -> str:
        """Of the split."""
        return self.listing.name

    def each_file(self, *roles: str) -> Iterator[tuple[PairFacts, FileFacts]]:
        """Every existing file of these roles with its pair."""
        for pair in self.pairs:
            for role in roles:
                if role in pair.files:
                    yield pair, pair.files[role]

    @property
    def labelled(self) -> list[PairFacts]:
        """The pairs with a valid label."""
        return [pair for pair in self.pairs if pair.changed is not None]

    @property
    def changed(self) -> float:
        """Share of changed pixels over all labels; ignored pixels do not count."""
        judged = sum(pair.judged_pixels for pair in self.pairs)
        return sum(pair.changed_pixels for pair in self.pairs) / judged if judged else 0.
