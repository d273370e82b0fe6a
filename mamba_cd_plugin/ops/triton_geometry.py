"""How a selective scan is divided among the programs of the Triton kernels."""
from dataclasses import dataclass
from functools import cached_property

# Positions of a chunk, which a program unrolls, by the number of states: the code grows with the product of both.
STEPS_BY_STATES = ((4, 8), )
FEWEST_STEPS = 4
MAX_BLOCK = 64  # channels of a program of one warp, two for each thread; with 16 positions the registers spill
AHEAD = 32  # chunks whose loads the carry starts together
CARRY_BLOCK = 32  # channels of one of its programs
# A program runs several chunks once this many programs remain: 32 warps for each of 128 processors.
ENOUGH_PROGRAMS = 4096
# The gradients of a chunk take all registers of a thread, so that 8 programs run at once on each of 132 processors. All
# of them start together and run as many chunks as it takes: what each leaves to add up is written once.
GRADIENT_PROGRAMS = 1056
MOST_CHUNKS = 16  # of a program
# The same options for every kernel. Contraction to fused multiply-adds is Triton's default until 3.9 and said here
# because a later one turns it off.
LAUNCH = dict(num_warps=1, enable_fp_fusion=True)
# Less by what a last program may count behind the end.
PLACES_OF_32_BITS = 2**31 - 2**12
# The two kernels of the low rank: the smallest rank that a product takes, then of each the positions of a tile and its
# warps. The gradients take the channels of a block of the scan, since both leave sums over the same channels.
FEWEST_RANKS = 16
STEPS_PLACES = 32
STEPS_BLOCK = 64
STEPS_WARPS = 2
RANK_PLACES = 32
RANK_WARPS = 2  # in float32 with all registers in use, so that 4 programs run at once on each of 132 processors
# All programs of the gradients start together and take as many tiles of positions as it takes: what one leaves to add
# up is as large as a tile, and the fewer the better.
RANK_PROGRAMS = 528
STEPS_PROGRAMS = 1056  # in the same way, 8 of them on each of 132 processors
# How the gradients multiply where the maps are in half precision: a factor from the maps is exact in TF32, the others
# have 11 bits. Three products instead, as in float32, would take all registers.
RANK_HALF_PRECISION = 'tf32'
# The sums at the end: rows and columns of a tile of the sums over programs of the scan, a hundred to a thousand rows,
# and of those of the low rank, a dozen to a hundred; then the numbers of an array like proj in a program. 8 columns
# are 32 bytes, the least that is read at once.
SUM_ROWS = 256
SUM_COLUMNS = 8
SUM_WEIGHT_ROWS = 32
SUM_WEIGHT_COLUMNS = 64
SUM_CELLS = 1024
SUM_WARPS = 4


@dataclass(frozen=True)
class Geometry:
    """What the kernels need to know of a scan.

    Attributes:
        paired: whether it is the scan of an image in four directions, else that of sequences.
        rank: rank of the step sizes, 0 where they are given for every channel.
    """
    images: int
    height: int
    width: int
    channels: int
    groups: int
    rank: int
    states: int
    softplus: bool
    paired: bool

    @cached_property
    def length(self) -> int:
        return self.height * self.width

    @cached_property
    def steps(self) -> int:
        return next((steps for most, steps in STEPS_BY_STATES if self.states <= most), FEWEST_STEPS)

    @cached_property
    def chunks(self) -> int:
        return -(-self.length // self.steps)

    @cached_property
    def block(self) -> int:
        return min(MAX_BLOCK, max(32, 1 << (self.channels - 1).bit_length()))

    @cached_property
    def blocks(self) -> int:
        return -(-self.channels // self.block)

    @cached_property
    def _tiles_of_chunks(self) -> int:
        """Tiles of a chunk and a block of channels that one launch works on."""
        return self.images * self.chunks * self.blocks * (1 if self.paired else self.groups)

    @cached_property
    def group_size(self) -> int:
        return max(1, min(MOST_CHUNKS, self._tiles_of_chunks // ENOUGH_PROGRAMS))

    @cached_property
    def programs(self) -> int:
        """Programs along the chunks of all images."""
        return self.images * -(-self.chunks // self.group_size)

    @cached_property
    def gradient_group_size(self) -> int:
        return min(MOST_CHUNKS, -(-self._tiles_of_chunks // GRADIENT_PROGRAMS))

    @cached_property
    def gradient_programs(self) -> int:
        """Programs of the gradients along the chunks of all images."""
        return self.images * -(-self.chunks // self.gradient_group_size)

    @cached_property
    def launches(self) -> int:
        """Launches of one kernel: rows, then columns."""
        return 2 if self.paired else 1

    @cached_property
    def positions(self) -> int:
        return self.images * self.length

    @cached_property
    def ranks(self) -> int:
        """The rank, filled up to a power of two."""
        return max(FEWEST_RANKS, 1 << (self.rank - 1).bit_length()) if self.rank else 0

    @cached_property
    def whole(self) -> bool:
        """Whether every chunk lies within a row, and within a column where there are columns to scan."""
        return self.width % self.steps == 0 and (not self.paired or self.height % self.steps == 0)

    @cached_property
    def step_blocks(self) -> int:
        """Blocks of channels of the step sizes."""
        return -(-self.channels // STEPS_BLOCK)

    @cached_property
    def carry_blocks(self) -> int:
        """Blocks of channels of the carry."""
        return -(-self.channels // CARRY_BLOCK)

    @cached_property
    def step_tiles(self) -> int:
        """Tiles of positions of a program of the step sizes."""
        return -(-(-(-self.positions // STEPS_PLACES) * self.step_blocks * self.groups) // STEPS_PROGRAMS)

    @cached_property
    def step_programs(self) -> int:
        """Programs of the step sizes along the positions."""
        return -(-self.positions // (STEPS_PLACES * self.step_tiles))

    @cached_property
    def tiles(self) -> int:
        """Tiles of positions of a program of the low rank's gradients."""
        tiles = -(-self.positions // RANK_PLACES) * self.blocks * self.groups
        return -(-tiles // RANK_PROGRAMS)

    @cached_property
    def rank_programs(self) -> int:
        """Programs of the low rank's gradients along the positions."""
        return -(-self.positions // (RANK_PLACES * self.tiles))

    def finish_programs(self, done: bool) -> int:
        """Programs of the sums at the end; `done`: none of them for the gradients of proj."""
        cells = 0 if done else self.positions * self.groups * (self.rank + 2 * self.states)
        return (-(-self.groups * (self.states + 2) * self.channels // SUM_COLUMNS) +
                -(-self.groups * self.rank * self.channels // SUM_WEIGHT_COLUMNS) + -(-cells // SUM_CELLS))

    @cached_property
    def unit(self) -> int:
        """Neighbouring channels that a thread of the scan loads at once; with 64 it has two of each row."""
        return 2 if self.block == 64 and self.channels % 2 == 0 else 1

    @cached_property
    def steps_unit(self) -> int:
        """Channels that a thread of the kernels of the low rank loads at once: 16 bytes where they are aligned."""
        return 4 if self.channels % 4 == 0 else 1

    def constants(self) -> dict:
        """Arguments that the kernels of the scan are compiled for, but the carry and softplus."""
        return dict(GROUPS=self.groups, STATES=self.states, PAIRED=self.paired, UNIT=self.unit, WHOLE=self.whole,
                    T=self.steps, BLOCK=self.block, **LAUNCH)

    def carry_constants(self) -> dict:
        """Arguments that the carry is compiled for."""
        return dict(GROUPS=self.groups, STATES=self.states, PAIRED=self.paired, AHEAD=AHEAD, BLOCK=CARRY_BLOCK,
                    **LAUNCH)

    def step_constants(self, precision: str) -> dict:
        """Arguments that the kernel of the step sizes is compiled for; `precision`: of products of tiles."""
        return dict(GROUPS=self.groups, RANKS=self.ranks, STATES=self.states, PRECISION=precision, UNIT=self.steps_unit,
                    PLACES=STEPS_PLACES, BLOCK=STEPS_BLOCK, **{**LAUNCH, 'num_warps': STEPS_WARPS})

    def rank_constants(self, precision: str) -> dict:
        """Arguments that the kernel of the low rank's gradients is compiled for."""
        return dict(self.step_constants(precision), PLACES=RANK_PLACES, BLOCK=self.block, num_warps=RANK_WARPS)

    def finish_constants(self) -> dict:
        """Arguments that the kernel of the sums is compiled for."""
        return dict(GROUPS=self.groups, STATES=self.states, PAIRED=self.paired, UNIT=self.steps_unit, ROWS=SUM_ROWS,
                    COLUMNS=SUM_COLUMNS, WEIGHT_ROWS=SUM_WEIGHT_ROWS, WEIGHT_COLUMNS=SUM_WEIGHT_COLUMNS,
                    CELLS=SUM_CELLS, **{**LAUNCH, 'num_warps': SUM_WARPS})


def check_places(g: Geometry) -> None:
    """The kernels count in 64 bits up to an image, or the positions of a program, and in 32 bits from there.

    Raises:
        ValueError: If these are not enough: that would be silently wrong.
    """
    widest = g.groups * max(g.channels, g.rank + 2 * g.states)  # of a position
    positions = max(g.length, STEPS_PLACES * g.step_tiles, RANK_PLACES * g.tiles if g.rank else 0)
    most = max(positions * widest, g.chunks * g.states * g.channels, g.positions)
    if most >= PLACES_OF_32_BITS:
        raise ValueError(f"scan backend 'triton': {g.images} maps of {g.height} x {g.width} positions, {g.groups} x "
                         f'{g.channels} channels and {g.states} states have an array with {most:,} numbers to count in '
                         f"32 bits, at most {PLACES_OF_32_BITS:,}; use smaller maps or batches, or backend='torch'")


def precisions(tf32: bool, half: bool) -> tuple[str, str]:
    """How Triton shall multiply tiles for the step sizes, and for the gradients of the low rank.

    Args:
        tf32: whether the tensor cores take TF32; three such products keep float32's digits.
        half: whether the maps are in half precision.
    """
    if not tf32:
        return 'ieee', 'ieee'
    return ('tf32x2', RANK_HALF_PRECISION) if half else ('tf32x3', 'tf32x3')


def settings() -> tuple:
    """All that is set above; what was planned with other values is of no use."""
    return (STEPS_BY_STATES, MAX_BLOCK, AHEAD, CARRY_BLOCK, ENOUGH_PROGRAMS, GRADIENT_PROGRAMS, MOST_CHUNKS,
            STEPS_PLACES, STEPS_BLOCK, STEPS_WARPS, STEPS_PROGRAMS, RANK_PLACES, RANK_WARPS, RANK_PROGRAMS,
            RANK_HALF_PRECISION, SUM_ROWS, SUM_COLUMNS, SUM_WEIGHT_ROWS, SUM_WEIGHT_COLUMNS, SUM_CELLS, SUM_WARPS)
