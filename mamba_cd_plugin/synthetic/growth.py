"""How districts change between the dates: which plots are built on when, and what an empty plot looks like."""
from dataclasses import dataclass

import numpy as np

from .materials import pick
from .plan import Presence

Grounds = tuple[str | None, str | None]

# Per way of growth the shares of plots that are built on at (both dates, only B, only A, neither).
GROWTH = {
    'settled': (0.95, 0.0, 0.0, 0.05),
    'new': (0.0, 0.9, 0.0, 0.1),
    'filling': (0.5, 0.35, 0.03, 0.12),
    'cleared': (0.40, 0.05, 0.45, 0.10),
    'prepared': (0.0, 0.0, 0.0, 1.0),
}
_STATES: tuple[Presence, ...] = ((True, True), (False, True), (True, False), (False, False))
# A quiet scene has no changed building, but all of the rest changes. In LEVIR-CD most changes are whole streets on what
# was open land.
QUIET = {'settled': 0.75, 'prepared': 0.25}
BUSY = {'settled': 0.2, 'new': 0.55, 'filling': 0.17, 'cleared': 0.05, 'prepared': 0.03}

# What open land is before something is built on it, and what it is beside settled plots.
_RAW = {'meadow': 0.3, 'forest': 0.22, 'scrub': 0.15, 'savanna': 0.13, 'field': 0.08, 'bare': 0.12}
_OPEN = {'meadow': 0.5, 'forest': 0.2, 'scrub': 0.1, 'savanna': 0.12, 'bare': 0.08}

_WAITING: dict[str | None, float] = {None: 0.4, 'soil': 0.22, 'site': 0.15, 'meadow': 0.13, 'dirt': 0.1}
_RAZED: dict[str | None, float] = {'site': 0.3, 'soil': 0.3, 'meadow': 0.3, 'gravel': 0.1}


@dataclass(frozen=True)
class Growth:
    """The way in which one block grows.

    Attributes:
        kind: Key of `GROWTH`.
        front: Up to this u (metres) the block is settled whatever its kind: towns grow from an edge.
        cover: Land cover before: 'meadow', 'forest', 'scrub', 'savanna', 'field' or 'bare'.
        waiting: Usual ground of plots without a building, per date.
    """

    kind: str
    front: float
    cover: str
    waiting: Grounds

    @classmethod
    def random(cls, rng: np.random.Generator, quiet: bool, u0: float, u1: float) -> 'Growth':
        """Draws how the block between `u0` and `u1` grows."""
        kind = pick(rng, QUIET if quiet else BUSY)
        raw = kind in ('new', 'prepared')
        front = rng.uniform(u0, u1) if raw and rng.random() < 0.45 else -np.inf
        return cls(kind, front, pick(rng, _RAW if raw else _OPEN), (pick(rng, _WAITING), pick(rng, _WAITING)))

    @property
    def raw(self) -> bool:
        """Whether the block is open land at date A."""
        return self.kind in ('new', 'prepared')

    def state(self, rng: np.random.Generator, u: float) -> Presence:
        """Whether the plot at `u` is built on at A and at B."""
        shares = GROWTH['settled' if u < self.front else self.kind]
        return pick(rng, dict(zip(_STATES, shares)))

    def grounds(self, rng: np.random.Generator, state: Presence, built: dict[str, float]) -> Grounds:
        """Draws the ground of a plot at A and at B; None leaves the open land.

        Args:
            rng: Source of randomness.
            state: Whether it is built on at each date.
            built: Weights of the materials around a building.
        """
        usual = rng.random() < 0.9
        empty = self.waiting if usual else (pick(rng, _WAITING), pick(rng, _WAITING))
        if not usual and rng.random() < 0.5:
            empty = empty[0], empty[0]
        garden = pick(rng, built)
        if all(state):
            return garden, garden if rng.random() < 0.9 else pick(rng, built)
        if state[1]:
            return empty[0], 'soil' if rng.random() < 0.3 else garden  # gardens come after the house
        if state[0]:
            return garden, pick(rng, _RAZED)
        return empty
