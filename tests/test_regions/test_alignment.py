"""Dates that are shifted against each other: how far is told, and with --align the later one is moved."""
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip('rasterio')
pytest.importorskip('pyarrow')

from mamba_cd_plugin.inference.pairs import Span, Window  # noqa: E402
from mamba_cd_plugin.inference.windows import PredictOptions  # noqa: E402
from mamba_cd_plugin.preparation.check.registration import Shift  # noqa: E402
from mamba_cd_plugin.regions.alignment import ShiftField, area_around, as_move, cells_around  # noqa: E402
from mamba_cd_plugin.regions.grid import RegionGrid  # noqa: E402
from mamba_cd_plugin.regions.shift import describe_shift, measure_places, sum_up_places  # noqa: E402

SHAPE = 560, 700  # two times two cells of 512 px, of which three are narrow
SHIFT = 3, -2  # to the right, down
BUILDINGS = [(y, x) for y in (150, 270, 390) for x in (150, 330, 500)]
LARGE = PredictOptions(tile=128, overlap=32, batch_size=2)


@pytest.fixture
def shifted(tools: Any, tmp_path: Path) -> Path:
    """A pair with nine new buildings of 15 x 20 px, ``after``, and the same with B moved, ``moved``."""
    a, b = tools.town(*SHAPE)[0], tools.town(*SHAPE)[0]
    for y, x in BUILDINGS:
        b[y:y + 15, x:x + 20] = 230
    tools.write(tmp_path / 'before/a.tif', a)
    tools.write(tmp_path / 'after/b.tif', b)
    # As if the survey had been laid 3 px too far to the right and 2 px too high.
    tools.write(tmp_path / 'moved/b.tif', np.roll(b, SHIFT[::-1], axis=(0, 1)))
    return tmp_path


def around(middle: tuple[float, float]) -> Window:
    """A window of 100 px around a place given in cells."""
    return Window(*(Span(int(512 * value - 50), int(512 * value + 50)) for value in middle))


def test_the_field_by_hand() -> None:
    cells = {(0, 0): Shift(3, -1, 20), (0, 1): Shift(4, -1, 20), (1, 0): Shift(3.5, -1, 9.9), (1, 1): None}
    field = ShiftField(cells)
    # Between the two sure cells, half a cell from each: their mean. The unsure one has no say.
    assert field.measured(around((0.5, 1))) == pytest.approx((3.5, -1))
    # In the middle of one and a whole cell from the other: weights 1 and exp(-1/2).
    weight = np.exp(-0.5)
    assert field.measured(around((0.5, 0.5))) == pytest.approx(((3 + 4 * weight) / (1 + weight), -1))
    assert field.move(around((0.5, 0.5))) == (3.375, -1.)  # rounded to an eighth
    assert field.measured(around((5, 5))) is None and not field.has_ground(around((5, 5)))
    # One of many that is far from the others does not count; too few that agree are no answer.
    odd = ShiftField({**cells, (1, 0): Shift(40, 30, 50)})
    assert odd.measured(around((0.5, 1))) == pytest.approx((3.5, -1))
    lonely = {(row, column): Shift(0, 0, 5) for row in range(3) for column in range(3)}
    lonely[1, 1] = Shift(2, 2, 50)
    assert ShiftField(lonely).measured(around((1.5, 1.5))) is None
    assert ShiftField({(0, 0): Shift(65, 0, 50)}).measured(around((0.5, 0.5))) is None  # too far to be believed
    assert as_move((0.3, 0.3)) == (0, 0) and as_move((0.5, -0.07)) == (0.5, -0.125)


def test_cells_lie_on_the_lattice_of_the_region() -> None:
    grid = RegionGrid('', (1., 0., 0., 0., -1., 0.), 1000, 6000, 100)
    halo = Window(Span(0, 300), Span(2100, 2400))
    # 768 px around columns 2100 to 2400 are 1332 to 3168: cells 2 to 6 of 512 px. There are two rows of cells.
    assert cells_around(grid, halo) == [(row, column) for row in range(2) for column in range(2, 7)]
    assert area_around(grid, halo) == Window(Span(0, 1000), Span(1024, 3584))


def test_a_known_shift_is_found_and_undone(tools: Any, shifted: Path) -> None:
    right, _ = tools.make(shifted, out='right', block=400, running=LARGE)
    after = dict(after=[str(shifted / 'moved')], running=LARGE)
    wrong, _ = tools.make(shifted, out='wrong', block=400, **after)
    summary, region = tools.make(shifted, out='aligned', block=400, align=True, **after)
    found = summary['shift']
    assert found['median'] == pytest.approx(SHIFT, abs=0.3) and found['largest'] < 4
    assert found['aligned'] and found['moved'] == found['windows'] > 40 and found['refused'] == 0
    assert wrong['shift']['median'] == pytest.approx(SHIFT, abs=0.3) and not wrong['shift']['aligned']
    # The same pixels but for the rows and columns that came round the edge, and what windows at the edge saw of them.
    inner = np.s_[130:-130, 130:-130]
    masks = {name: tools.merged(shifted / name, 'mask')[inner] for name in ('right', 'wrong', 'aligned')}
    assert np.array_equal(masks['aligned'], masks['right']) and (masks['right'] == 1).sum() == 9 * 300
    # Where a building moves by 2 rows and 3 columns, 300 - 13 * 17 px are wrong on either side.
    assert (masks['wrong'] != masks['right']).sum() == 9 * 2 * 79
    assert summary['polygons'] == right['polygons'] == 9
    assert len(tools.open(shifted, out='aligned', block=400, align=True, **after).missing) == 0
    assert len(tools.open(shifted, out='aligned', block=400, **after).missing) == len(region.tasks)


def test_aligned_blocks_of_any_size_are_the_same(tools: Any, shifted: Path) -> None:
    for block in (300, 1000):
        tools.make(shifted, out=str(block), block=block, align=True, after=[str(shifted / 'moved')],
                   running=LARGE)
    for name in ('mask', 'probability'):
        assert tools.merged(shifted / '300', name).tobytes() == tools.merged(shifted / '1000', name).tobytes()


def test_a_damaged_file_spoils_no_blocks_around_it(tools: Any, shifted: Path) -> None:
    tools.write(shifted / 'before/c.tif', tools.town(100, 300)[0], column=900)
    damaged = tools.write(shifted / 'moved/c.tif', tools.town(100, 300)[0], column=900)
    damaged.write_bytes(damaged.read_bytes()[:5000])
    summary, region = tools.make(shifted, block=350, align=True, after=[str(shifted / 'moved')], running=LARGE)
    # Columns 900 to 1200 are in the last two blocks of a row; the file reaches down to row 100.
    assert [one['block'] for one in summary['failed']] == ['0_2', '0_3'] and summary['shift']['moved'] > 0
    assert all('c.tif' in ''.join(task.states) for task in region.tasks)


def test_part_of_a_pixel_by_one_interpolation(tools: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    ground = ndimage.gaussian_filter(rng.random((420, 420)), 1.5)
    ground = (ground - ground.min()) / np.ptp(ground) * 255
    images = [np.repeat(ndimage.shift(ground, (0, dx), order=3, mode='wrap').clip(0, 255)[10:-10, 10:-10, None], 3, 2)
              .astype(np.uint8) for dx in (0, 2.5)]
    for folder, image in zip(('before', 'after'), images):
        tools.write(tmp_path / folder / '0.tif', image[:, :230])
        tools.write(tmp_path / folder / '1.tif', image[:, 200:], column=200)
    _, region = tools.make(tmp_path, block=1000, align=True)
    from mamba_cd_plugin.regions.job import measure_task, open_pair
    field = measure_task(region.job, region.tasks[0])
    assert field.move(around((0.3, 0.3))) == (2.5, 0.)
    with open_pair(region.job, region.tasks[0].a, region.tasks[0].b, field.move) as pair:
        tile = pair.read(Window(Span(0, 400), Span(0, 400)))
    # B shows 2.5 px less on the right; elsewhere both rasters are read without a gap between them.
    assert tile.valid[:, :397].all() and not tile.valid[:, 398:].any()
    difference = np.abs(tile.pair[..., 0].astype(int) - tile.pair[..., 3])[:, :397]
    assert difference.mean() < 2 and difference.max() < 25
    assert np.abs(images[0].astype(int) - images[1]).mean() > 10


def test_another_place_is_not_moved(tools: Any, tmp_path: Path) -> None:
    tools.write(tmp_path / 'before/a.tif', tools.town(300, 400)[0])
    tools.write(tmp_path / 'after/b.tif', tools.town(300, 400, seed=9)[0])
    summary, _ = tools.make(tmp_path, out='aligned', block=1000, align=True)
    assert summary['shift'].items() >= dict(aligned=True, moved=0).items()
    assert summary['shift']['refused'] == summary['shift']['windows'] > 0 and 'median' not in summary['shift']
    assert 'in no place could it be measured' in describe_shift(summary['shift'])
    tools.make(tmp_path, block=1000)
    assert tools.merged(tmp_path / 'out').tobytes() == tools.merged(tmp_path / 'aligned').tobytes()


def test_a_shift_of_the_dates_is_told(tools: Any, tmp_path: Path) -> None:
    image, other = tools.town(300, 300)[0], tools.town(300, 300, seed=9)[0]

    def said(after: np.ndarray, row: int, column: int) -> str:
        tools.write(tmp_path / 'after/b.tif', after, row, column)
        region = tools.open(tmp_path, block=150)
        return describe_shift(sum_up_places(measure_places(region.job, region.tasks)))

    tools.write(tmp_path / 'before/a.tif', image)
    moved = said(image, 1, 3)
    assert 'B lies +3.0 px to the right and +1.0 px down of A in the median of 4 places' in moved
    assert '--align moves B by it, or register the dates first' in moved
    assert 'at most 0.0 px' in said(image, 0, 0) and 'register' not in said(image, 0, 0)
    assert said(other, 0, 0) == 'shift: in no place could it be measured whether the dates lie on each other'
