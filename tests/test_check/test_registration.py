"""Shifts are measured to a fraction of a pixel, whatever else differs between the dates."""
import os
import re

import numpy as np
import pytest

from mamba_cd_plugin.preparation.check import Limits, check_dataset, measure_shift
from mamba_cd_plugin.synthetic import generate_pair

SHIFTS = [(0., 0.), (1.5, 0.), (0., -1.5), (1.06, 1.06), (-3.3, 2.7), (0.25, -0.6), (11., -9.)]


@pytest.fixture(scope='module')
def scenes():
    """Scenes whose dates differ by their buildings only."""
    return [generate_pair(seed, 128, nuisances=()) for seed in range(3)]


@pytest.mark.parametrize('dx, dy', SHIFTS)
def test_planted_shift(dx, dy, scenes, move):
    for pair in scenes:
        shift = measure_shift(pair.a, move(pair.b, dx, dy), pair.label > 0)
        assert abs(shift.dx - dx) < 0.1 and abs(shift.dy - dy) < 0.1
        assert shift.certainty > 10


def test_planted_shift_between_seasons(move):
    """Season, light, shadows, trees, cars and camera differ, and the dates lie up to 0.7 px apart from the start."""
    sure = 0
    for seed in range(8):
        pair = generate_pair(seed, 256, largest_offset=0.7)
        before = measure_shift(pair.a, pair.b, pair.label > 0)
        if before.certainty < Limits().min_certainty:
            continue  # fields and woods that have grown anew hold nothing to go by
        sure += 1
        after = measure_shift(pair.a, move(pair.b, 1.5, -0.7), pair.label > 0)
        assert before.distance < 1
        assert after.distance_to((before.dx + 1.5, before.dy - 0.7)) < 0.2
    assert sure >= 4


def test_light_and_noise_do_not_count(move):
    """A texture without structure of its own, darkened and inverted in one half, with noise of its own."""
    rng = np.random.default_rng(0)
    a = np.repeat(rng.integers(40, 200, (160, 160, 1)), 3, 2).astype(np.uint8)
    b = move(a, 1.5, 0.).astype(float) * 0.5 + rng.normal(20, 6, a.shape)
    b[:80] += 60
    shift = measure_shift(a, np.clip(b, 0, 255).astype(np.uint8))
    assert abs(shift.dx - 1.5) < 0.1 and abs(shift.dy) < 0.1


def test_changed_pixels_do_not_count():
    """The middle of the picture, changed, has moved by 6 px; the rest lies where it was."""
    rng = np.random.default_rng(0)
    a = np.repeat(rng.integers(0, 256, (128, 192, 1)), 3, 2).astype(np.uint8)
    changed = np.zeros((128, 192), bool)
    changed[:, 60:132] = True
    b = np.where(changed[..., None], np.roll(a, 6, 1), a)
    assert measure_shift(a, b).dx == pytest.approx(6, abs=0.2)  # the window weighs the middle most
    assert measure_shift(a, b, changed).distance < 0.1


def test_different_places_are_not_certain():
    pairs = [generate_pair(seed, 128) for seed in range(6)]
    shifts = [measure_shift(pairs[i].a, pairs[i - 1].b) for i in range(6)]
    assert max(shift.certainty for shift in shifts) < 9


@pytest.mark.parametrize('a, b, changed', [
    (np.zeros((31, 64, 3), np.uint8), np.zeros((31, 64, 3), np.uint8), None),  # too small
    (np.full((64, 64, 3), 9, np.uint8), np.full((64, 64, 3), 9, np.uint8), None),  # nothing to see
    (np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 255, np.zeros((64, 64, 3), np.uint8), None),
    (np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 255, np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 255,
     np.ones((64, 64), bool)),  # changed everywhere
])
def test_nothing_to_go_by(a, b, changed):
    assert measure_shift(a, b, changed) is None


def test_common_shift(root, read, write, move):
    """1.5 px in all pairs of a split are found and measured within 0.2 px, and the pairs are not blamed one by one."""
    for path in (root / 'val/B').iterdir():
        write(path, move(read(path), 1.2, -0.9))
    result = check_dataset(str(root))
    assert [(found.check, found.split) for found in result.findings] == [('common_shift', 'val')]
    common = re.search(r'B lies (\+.*) px to the right and (-.*) px down of A', result.findings[0].message)
    assert [float(n) for n in common.groups()] == pytest.approx([1.2, -0.9], abs=0.1)
    assert all(pair.shift.distance_to((1.2, -0.9)) < 0.2 for pair in result.splits[1].pairs)


def test_shifted_pairs(root, read, write, move):
    write(root / 'train/B/2.png', move(read(root / 'train/B/2.png'), 3., 0.))
    write(root / 'train/B/4.png', move(read(root / 'train/B/4.png'), -2., 4.))
    result = check_dataset(str(root))
    assert [(found.check, found.names) for found in result.findings] == [('misregistered', ['4', '2'])]
    largest = re.search(r'most in 4: (-.*), (\+.*) px', result.findings[0].message)
    assert [float(n) for n in largest.groups()] == pytest.approx([-2, 4], abs=0.2)


@pytest.mark.parametrize('step, found', [(0, False), (1, True)])
def test_mates_of_different_places(step, found, root, write):
    """The names of B are moved on by one, as after a file was lost."""
    count = 24
    for role in ('A', 'B', 'label'):
        (root / 'test' / role).mkdir(parents=True)
    for number in range(count):
        pair = generate_pair([9, number], 96, nuisances=())
        write(root / f'test/A/{number}.png', pair.a)
        write(root / f'test/B/{(number + step) % count}.png', pair.b)
        write(root / f'test/label/{number}.png', pair.label)
    result = check_dataset(str(root), ['test'])
    assert any(finding.check == 'unmatched' for finding in result.findings) == found


def test_without_registration(root, read, write, move):
    for path in (root / 'val/B').iterdir():
        write(path, move(read(path), 5, 0))
    result = check_dataset(str(root), with_shift=False)
    assert result.findings == [] and result.splits[0].pairs[0].shift is None


@pytest.mark.skipif('MAMBA_CD_REAL_DATA' not in os.environ, reason='MAMBA_CD_REAL_DATA names no folder of real pairs')
def test_real_pairs():
    """Real pairs are in order, and mostly certain of where they lie."""
    result = check_dataset(os.environ['MAMBA_CD_REAL_DATA'], ['val'])
    assert result.count('error') == 0
    shifts = [pair.shift for pair in result.splits[0].pairs]
    assert np.median([shift.certainty for shift in shifts]) > 10
    assert np.median([shift.distance for shift in shifts]) < 4
