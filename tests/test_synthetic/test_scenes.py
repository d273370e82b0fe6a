"""The generated scenes: what is in them, that the label fits, and that they are written as promised."""
import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mamba_cd_plugin.synthetic import NUISANCES, ScenePair, generate_pair, write_dataset, writer
from mamba_cd_plugin.synthetic.buildings import outline_parts
from mamba_cd_plugin.synthetic.camera import misregister
from mamba_cd_plugin.synthetic.frame import Frame
from mamba_cd_plugin.synthetic.light import Sun, cast_shadows
from mamba_cd_plugin.synthetic.plan import PIXELS_PER_METRE, Building, ScenePlan
from mamba_cd_plugin.synthetic.rendering import render, render_label
from mamba_cd_plugin.synthetic.scene import plan_scene
from mamba_cd_plugin.synthetic.terrain import Relief, Season
from mamba_cd_plugin.synthetic.writer import FOLDERS, METADATA_NAME, SPLITS

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/synthetic.py'


@pytest.fixture(scope='module')
def pairs() -> list[ScenePair]:
    """Forty pairs, a little smaller than by default, which saves seconds."""
    return [generate_pair((7, i), 192) for i in range(40)]


def plan_with(*buildings: Building) -> ScenePlan:
    """Open land with nothing but these buildings."""
    return ScenePlan(base=('meadow', 'soil'), buildings=list(buildings))


def hall(present: tuple[bool, bool], **changes) -> Building:
    """A flat-roofed hall of 20 x 10 px around (40, 30) that covers x 31..49 and y 26..34."""
    white = (250.0, 250.0, 250.0)
    building = Building((40.0, 30.0), 0.0, np.array([(0, 0, 10.0, 5.0)]), 'flat', 10.0, 0.0, (white, white), present, 0)
    return replace(building, **changes)


class TestPair:

    @pytest.mark.parametrize('size, shape', [(64, (64, 64)), ((33, 97), (33, 97)), ((131, 40), (131, 40))])
    def test_shapes_types_and_label_values(self, size, shape):
        pair = generate_pair(3, size)
        assert pair.a.shape == pair.b.shape == (*shape, 3)
        assert pair.label.shape == shape
        assert pair.a.dtype == pair.b.dtype == pair.label.dtype == np.uint8
        assert set(np.unique(pair.label)) <= {0, 255}

    def test_same_seed_same_pair(self):
        for one, two in zip(generate_pair((1, 2), 96), generate_pair((1, 2), 96)):
            assert np.array_equal(one, two)

    def test_easy_scenes_show_more_change_between_dates_that_are_more_alike(self):
        easy = [generate_pair((5, i), 128, easy=True) for i in range(20)]
        hard = [generate_pair((5, i), 128) for i in range(20)]

        def shows_change(pairs: list[ScenePair]) -> int:
            return sum(pair.label.any() for pair in pairs)

        def difference_of_dates(pairs: list[ScenePair]) -> float:
            return float(np.median([np.abs(p.a.astype(int) - p.b)[p.label == 0].mean() for p in pairs]))

        assert shows_change(easy) > shows_change(hard)
        assert difference_of_dates(easy) < difference_of_dates(hard)

    def test_quiet_share(self):
        quiet = [generate_pair((5, i), 64, quiet_share=1.0) for i in range(12)]
        assert not any(pair.label.any() for pair in quiet)
        busy = [generate_pair((5, i), 64, quiet_share=0.0) for i in range(12)]
        assert sum(pair.label.any() for pair in busy) > 3

    @pytest.mark.parametrize('wrong, message', [
        (dict(nuisances=('camera', 'clouds')), 'found clouds; expected some of the list objects, ground, season'),
        (dict(nuisances='camera'), 'found camera; expected some of the list'),
        (dict(quiet_share=45), 'quiet_share = 45: expected a share from 0 to 1'),
    ])
    def test_bad_differences_are_named(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            generate_pair(0, 64, **wrong)

    def test_other_seed_other_pair(self):
        assert not np.array_equal(generate_pair(1, 96).a, generate_pair(2, 96).a)

    @pytest.mark.parametrize('size', [16, 0, (64, ), (64, 64, 64), 64.0, '64'])
    def test_bad_size_is_named(self, size):
        with pytest.raises(ValueError, match='size = .*expected one number of pixels'):
            generate_pair(0, size)


class TestStatistics:

    def test_share_of_changed_pixels(self, pairs):
        shares = np.array([np.mean(pair.label > 0) for pair in pairs])
        # LEVIR-CD's tiles: 4 % of the pixels, 57 to 63 % of the tiles without any, up to 40 % in the others.
        assert 0.015 < shares.mean() < 0.08
        assert 0.4 <= np.mean(shares == 0) <= 0.7
        assert shares.max() < 0.6

    def test_unchanged_pairs_differ_all_over(self, pairs):
        quiet = [pair for pair in pairs if not pair.label.any()]
        assert quiet
        for pair in quiet:
            assert np.mean((pair.a != pair.b).any(-1)) > 0.9

    def test_images_are_exposed(self, pairs):
        for pair in pairs:
            for image in (pair.a, pair.b):
                assert 15 < image.mean() < 235
                assert image.std() > 4

    def test_no_threshold_on_the_difference_solves_it(self, pairs):
        difference = np.stack([np.abs(p.a.astype(int) - p.b).mean(-1) for p in pairs]).astype(int)
        truth = np.stack([p.label > 0 for p in pairs])
        hit = np.bincount(difference[truth], minlength=256)[::-1].cumsum()
        alarm = np.bincount(difference[~truth], minlength=256)[::-1].cumsum()
        assert (2 * hit / (hit + alarm + truth.sum())).max() < 0.5

    def test_buildings_appear_and_vanish(self):
        states = {b.present for seed in range(12)
                  for b in plan_scene(np.random.default_rng(seed), (256, 256), False).buildings}
        assert states == {(True, True), (False, True), (True, False)}

    def test_quiet_plans_change_no_building(self):
        plans = [plan_scene(np.random.default_rng(seed), (256, 256), True) for seed in range(8)]
        assert not any(b.changed for plan in plans for b in plan.buildings)
        assert any(area.materials[0] != area.materials[1] for plan in plans for area in plan.areas)


class TestLabel:

    def test_footprint_by_hand(self):
        expected = np.zeros((60, 80), np.uint8)
        expected[26:35, 31:50] = 255
        for present in ((False, True), (True, False)):
            assert np.array_equal(render_label(plan_with(hall(present)), (60, 80)), expected)

    def test_footprint_turned_by_a_quarter(self):
        expected = np.zeros((60, 80), np.uint8)
        expected[21:40, 36:45] = 255
        assert np.array_equal(render_label(plan_with(hall((False, True), angle=np.pi / 2)), (60, 80)), expected)

    def test_buildings_that_stay_are_not_change(self):
        assert not render_label(plan_with(hall((True, True)), hall((False, False))), (60, 80)).any()

    @pytest.mark.parametrize('centre', [(0.0, 0.0), (79.0, 59.0), (-40.0, 30.0), (200.0, 30.0)])
    def test_buildings_across_or_beyond_the_border(self, centre):
        plan = plan_with(hall((False, True), centre=centre))
        label = render_label(plan, (60, 80))
        assert label.any() == (0 <= centre[0] < 80)
        self._draw(plan, 1)

    @pytest.mark.parametrize('roof, pitch', [('flat', 0.0), ('gable', 0.5), ('hip', 0.5), ('metal', 0.1)])
    def test_lies_where_the_building_is_drawn(self, roof, pitch):
        parts = outline_parts(np.random.default_rng(1), 'L', 30, 20)
        plan = plan_with(hall((False, True), angle=0.4, parts=parts, roof=roof, pitch=pitch))
        drawn = np.abs(self._draw(plan, 1) - self._draw(plan, 0)).max(-1) > 0.02
        label = render_label(plan, (60, 80)) > 0
        border = cv2.morphologyEx(label.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
        assert np.array_equal(drawn[~border], label[~border])
        assert label.sum() > 300

    @staticmethod
    def _draw(plan: ScenePlan, date: int) -> np.ndarray:
        """Under a sun in the zenith, which casts no shadow."""
        rng = np.random.default_rng(0)
        relief, season = Relief.random(rng, (60, 80)), Season.random(rng)
        return render(plan, date, (60, 80), relief, season, Sun((0.0, 1.0), np.radians(89.9), 0.4))

    def test_without_nuisances_only_buildings_and_their_shadows_differ(self):
        shape, sun = (192, 224), Sun((0.0, 1.0), np.pi / 4, 0.4)
        # At 45 degrees a shadow is as long as the building is high: at most 19 m of walls and 7 m of roof, upwards.
        reach = int(26 * PIXELS_PER_METRE)
        appeared = 0
        for seed in range(8):
            rng = np.random.default_rng(seed)
            plan = plan_scene(rng, shape, False).without_nuisances()
            relief, season = Relief.random(rng, shape), Season.random(rng)
            before, after = (render(plan, date, shape, relief, season, sun) for date in (0, 1))
            differs, label = np.abs(after - before).max(-1) > 1e-3, render_label(plan, shape)
            rim = cv2.dilate(label, np.ones((5, 5)))
            allowed = rim.copy()
            for step in range(1, reach):
                allowed[:-step] |= rim[step:]
            # Not at the sides, where the rims of buildings that stand outside show.
            assert not differs[4:-4, 4:-4][allowed[4:-4, 4:-4] == 0].any()
            # A roof may have the colour of the ground, or lie under trees.
            assert not label.any() or differs[label > 0].mean() > 0.8
            appeared += int(label.any())
        assert appeared >= 5

    @pytest.mark.parametrize('nuisance', NUISANCES)
    def test_each_nuisance_alone_makes_the_dates_differ(self, nuisance):
        pairs = [generate_pair(seed, 64, nuisances=(nuisance, ), quiet_share=1.0) for seed in range(6)]
        assert not any(pair.label.any() for pair in pairs)
        # Seasons are alike in two scenes of five, and on a small piece of ground nothing may come or go.
        assert sum(not np.array_equal(pair.a, pair.b) for pair in pairs) >= 3

    def test_what_is_left_out_is_the_same_at_both_dates(self):
        # Only the shift is left, of 4 px at most, which hardly changes the mean colour.
        for seed in range(4):
            pair = generate_pair(seed, 96, nuisances=('registration', ), quiet_share=1.0)
            assert pair.a.mean((0, 1)) == pytest.approx(pair.b.mean((0, 1)), abs=4)

    def test_a_scene_without_changes_and_nuisances_is_twice_the_same(self):
        pairs = [generate_pair(seed, 48, nuisances=()) for seed in range(20)]
        same = [pair for pair in pairs if np.array_equal(pair.a, pair.b)]
        assert 0 < len(same) < 20
        assert not any(pair.label.any() for pair in same)


class TestLight:

    def test_exposure_by_hand(self):
        sun = Sun((0.0, 1.0), np.pi / 4, 0.4)  # 45 degrees above the lower edge of the picture
        slopes = np.array([0.0, -1.0, 1.0])  # level, facing the sun, turned away
        assert sun.exposure(np.zeros(3), slopes) == pytest.approx([1.0, np.sqrt(2), 0.15])

    def test_shadow_length_by_hand(self):
        height = np.zeros((80, 80), np.float32)
        height[50:60, 30:50] = 10
        shadow = cast_shadows(height, Sun((0.0, 1.0), np.pi / 4, 0.4))
        # At 45 degrees 10 m cast 10 m, which are 20 px: rows 30 to 49, less the fading tip.
        assert (shadow[33:50, 32:48] > 0.9).all()
        assert not shadow[:29].any()
        assert not shadow[50:].any()
        assert not shadow[:, :28].any()
        assert not shadow[:, 52:].any()

    def test_level_ground_is_lit(self):
        assert not cast_shadows(np.full((20, 20), 3, np.float32), Sun((0.6, 0.8), 0.7, 0.4))[2:-2, 2:-2].any()


class TestGeometry:

    def test_frame_by_hand(self):
        straight = Frame(0.0, (100.0, 50.0), np.zeros((2, 4)))
        assert straight.to_pixels(np.array([10, 5])) == pytest.approx([120, 60])
        assert replace(straight, turned=True).to_pixels(np.array([10, 5])) == pytest.approx([90, 70])
        assert straight.heading(3, 4) == pytest.approx(0)
        assert straight.bounds((100, 200)) == pytest.approx((-50, -25, 50, 25))

    @pytest.mark.parametrize('shape', ['rect', 'L', 'T', 'U', 'cluster'])
    def test_outlines_fill_their_box(self, shape):
        for seed in range(5):
            parts = outline_parts(np.random.default_rng(seed), shape, 30, 20)
            low, high = (parts[:, :2] - parts[:, 2:]).min(0), (parts[:, :2] + parts[:, 2:]).max(0)
            assert np.concatenate([low, high]) == pytest.approx([-15, -10, 15, 10])

    @pytest.mark.parametrize('largest', [1.0, 4.0])
    def test_misregistration_by_a_ramp(self, largest):
        y, x = np.mgrid[:64, :96].astype(np.float32)
        ramp = np.dstack([x, y, x])  # the value of a pixel is its place
        offsets = []
        for seed in range(60):
            moved = misregister(ramp, np.random.default_rng(seed), largest) - ramp
            offsets.append(np.hypot(moved[5:-5, 5:-5, 0], moved[5:-5, 5:-5, 1]))
        assert np.max(offsets) <= largest + 0.03  # interpolation works with 1/32 px
        assert np.max(offsets) > 0.6 * largest
        # As measured between the dates of LEVIR-CD: 1.6 to 2.1 px in the median.
        assert 0.35 * largest < np.median(offsets) < 0.6 * largest
        assert any(offset.max() - offset.min() > 0.1 * largest for offset in offsets)  # some bend

    def test_ground_sampling_scales_everything(self):
        half = Frame(0.0, (100.0, 50.0), np.zeros((2, 4)), zoom=0.5)
        assert half.to_pixels(np.array([10, 5])) == pytest.approx([110, 55])
        assert half.point(10, 5) == pytest.approx((110, 55))


class TestWriter:
    ARGS = dict(num_train=3, num_val=1, num_test=2, size=(40, 56), seed=5)

    @staticmethod
    def _contents(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob('*') if path.is_file()}

    def test_layout_and_pixels(self, tmp_path):
        assert write_dataset(tmp_path / 'deep/out', **self.ARGS)
        root = tmp_path / 'deep/out'
        for index, (split, count) in enumerate(zip(SPLITS, (3, 1, 2))):
            names = [sorted(p.name for p in (root / split / folder).iterdir()) for folder in FOLDERS]
            assert names[0] == names[1] == names[2] == [f'{split}_{i:04d}.png' for i in range(count)]
            pair = generate_pair((5, index, 0), (40, 56))
            a, b, label = (cv2.imread(str(root / split / f / names[0][0]), cv2.IMREAD_UNCHANGED) for f in FOLDERS)
            assert np.array_equal(a[..., ::-1], pair.a)
            assert np.array_equal(b[..., ::-1], pair.b)
            assert np.array_equal(label, pair.label)
        assert [p.name for p in root.parent.iterdir()] == ['out']

    def test_files_depend_on_the_seed_only(self, tmp_path):
        for name, workers in (('one', 1), ('again', 1), ('two', 2)):
            write_dataset(tmp_path / name, **self.ARGS, num_workers=workers)
        first = self._contents(tmp_path / 'one')
        assert len(first) == 3 * 6 + 1
        assert first == self._contents(tmp_path / 'again')
        assert first == self._contents(tmp_path / 'two')
        write_dataset(tmp_path / 'more', **{**self.ARGS, 'num_train': 4})
        more = self._contents(tmp_path / 'more')
        assert all(more[name] == data for name, data in first.items() if name != METADATA_NAME)

    def test_finished_scenes_are_left_alone(self, tmp_path, monkeypatch):
        write_dataset(tmp_path / 'out', **self.ARGS)
        monkeypatch.setattr(writer, '_write_pairs', lambda *args: pytest.fail('wrote again'))
        assert not write_dataset(tmp_path / 'out', **self.ARGS, num_workers=2)

    def test_lost_files_are_written_again(self, tmp_path):
        write_dataset(tmp_path / 'out', **self.ARGS)
        before = self._contents(tmp_path / 'out')
        next((tmp_path / 'out/test/label').iterdir()).unlink()
        assert write_dataset(tmp_path / 'out', **self.ARGS)
        assert self._contents(tmp_path / 'out') == before

    def test_other_parameters_need_overwrite(self, tmp_path):
        write_dataset(tmp_path / 'out', **self.ARGS)
        other = {**self.ARGS, 'seed': 6}
        with pytest.raises(FileExistsError, match='seed 5 instead of 6.*--overwrite'):
            write_dataset(tmp_path / 'out', **other)
        assert write_dataset(tmp_path / 'out', **other, overwrite=True)
        assert json.loads((tmp_path / 'out' / METADATA_NAME).read_text())['seed'] == 6
        assert [p.name for p in tmp_path.iterdir()] == ['out']

    def test_other_differences_are_other_scenes(self, tmp_path):
        write_dataset(tmp_path / 'out', **self.ARGS)
        fewer = dict(nuisances=('camera', 'season'), quiet_share=0.2)
        with pytest.raises(FileExistsError, match=r"nuisances as usual instead of \['camera', 'season'\], quiet_share"):
            write_dataset(tmp_path / 'out', **self.ARGS, **fewer)
        write_dataset(tmp_path / 'out', **self.ARGS, **fewer, overwrite=True)
        pair = generate_pair((5, 0, 0), (40, 56), **fewer)
        assert np.array_equal(cv2.imread(str(tmp_path / 'out/train/B/train_0000.png'))[..., ::-1], pair.b)
        with pytest.raises(FileExistsError, match='quiet_share 0.2 instead of as usual'):
            write_dataset(tmp_path / 'out', **self.ARGS)

    def test_foreign_folders_are_never_replaced(self, tmp_path):
        (tmp_path / 'notes.txt').write_text('mine')
        with pytest.raises(FileExistsError, match='no folder of generated scenes'):
            write_dataset(tmp_path, **self.ARGS, overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == ['notes.txt']

    @pytest.mark.parametrize('existing', [False, True])
    def test_interrupted_write_leaves_nothing_behind(self, tmp_path, monkeypatch, existing):
        if existing:
            write_dataset(tmp_path / 'out', **self.ARGS)
        before = self._contents(tmp_path)

        def interrupt(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(writer.ProgressBar, 'update', interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(tmp_path / 'out', **{**self.ARGS, 'seed': 6}, num_workers=2, overwrite=True)
        assert self._contents(tmp_path) == before
        assert [p.name for p in tmp_path.iterdir()] == (['out'] if existing else [])

    @pytest.mark.parametrize('wrong, message', [
        (dict(num_train=-1), 'no negative number'),
        (dict(num_train=0, num_val=0, num_test=0), 'at least one pair'),
        (dict(num_workers=0), 'num_workers = 0'),
        (dict(seed=-1), 'seed = -1'),
        (dict(size=8), 'size = 8'),
    ])
    def test_bad_numbers(self, tmp_path, wrong, message):
        with pytest.raises(ValueError, match=message):
            write_dataset(tmp_path / 'out', **{**self.ARGS, **wrong})
        assert not list(tmp_path.iterdir())


class TestTool:

    @staticmethod
    def _run(monkeypatch, *words: str) -> None:
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *words])
        runpy.run_path(str(TOOL), run_name='__main__')

    def test_writes_and_explains(self, tmp_path, monkeypatch):
        words = (str(tmp_path / 'out'), '--num-train', '2', '--num-val', '1', '--num-test', '1', '--workers', '1')
        self._run(monkeypatch, *words, '--size', '40', '56')
        image = cv2.imread(str(tmp_path / 'out/train/A/train_0001.png'))
        assert image.shape == (40, 56, 3)
        with pytest.raises(SystemExit, match='error: .*size .*--overwrite'):
            self._run(monkeypatch, *words, '--size', '40')

    def test_pairs_are_shared_out(self, tmp_path, monkeypatch):
        self._run(monkeypatch, str(tmp_path / 'out'), '--pairs', '13', '--workers', '1', '--size', '32')
        assert [len(list((tmp_path / 'out' / split / 'A').iterdir())) for split in SPLITS] == [10, 1, 2]

    def test_differences_may_be_left_out(self, tmp_path, monkeypatch):
        words = (str(tmp_path / 'out'), '--pairs', '1', '--workers', '1', '--size', '32')
        self._run(monkeypatch, *words, '--without', 'camera', 'registration', '--quiet-share', '0')
        metadata = json.loads((tmp_path / 'out' / METADATA_NAME).read_text())
        assert metadata['nuisances'] == ['ground', 'objects', 'season']
        assert metadata['quiet_share'] == 0

    def test_too_many_sizes(self, tmp_path, monkeypatch):
        with pytest.raises(SystemExit):
            self._run(monkeypatch, str(tmp_path / 'out'), '--size', '40', '50', '60')
