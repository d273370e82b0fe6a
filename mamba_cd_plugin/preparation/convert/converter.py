"""The conversion of a data set from its download to tiles."""
import os
import os.path as osp
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from mmengine import ProgressBar
from mmengine.logging import print_log

from ...io.pictures import shorten
from .catalog import OWN_DATA, ROLES, DatasetFacts
from .sources import Scene, SplitProblem, find_scenes, list_sources
from .split_folder import SplitFolder
from .tiles import STORED_IGNORED, SceneReader, Tile, open_scene, open_scene_rasters, stage_raster
from .tiling import Expected, Tiling, expected_counts, set_aside, tile_origins

# Below the output while it is made: members of zips, and decoded rasters. Hidden, so that it is never a source.
_SCRATCH = '.prepare'
# zlib and the file system are what takes time; beyond this they gain nothing from more threads.
_MOST_THREADS = 8
# How many problems of one split are named.
_MAX_PROBLEMS = 20


@dataclass
class SplitReport:
    """What became of a split.

    Attributes:
        images: Pairs that were converted.
        tiles: Pairs of tiles that are there.
        expected: Number of tiles of the complete data set.
        problems: Descriptions of missing or broken files.
        path: Folder of the split; ends in ``.partial`` unless the split is complete.
        ignored_tiles: Number of tiles with pixels without ground truth, of those that were written now.
        missing: By image file, the share of its pixels without data, of the images that were read now.
    """

    images: int
    tiles: int
    expected: Expected
    problems: list[str] = field(default_factory=list)
    path: str = ''
    ignored_tiles: int = 0
    missing: dict[str, float] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether it is what the official data set gives, now or since an earlier run."""
        return (self.images, self.tiles) == tuple(self.expected)

    @property
    def is_in_place(self) -> bool:
        """Whether a training run finds it."""
        return self.tiles > 0 and not self.path.endswith('.partial')


class _Job(NamedTuple):
    """A scene, or one row of tiles of a raster."""

    scene: Scene
    row: int | None = None

    @property
    def key(self) -> str:
        return self.scene.stem if self.row is None else f'{self.scene.stem}#{self.row}'


class Converter:
    """Cuts a data set into tiles in the layout of LEVIR-CD.

    Of the user's own data, pixels that either image does not show (transparent, nodata, NaN) are ignored in the labels;
    published data sets stay as they are, so that scores can be compared.

    ::

        download -> list_sources -> find_scenes -> set_aside -> of each split: jobs -> <split>.partial -> <split>

    Args:
        facts: The data set.
        source: Folder of the download, or a zip.
        out: Folder to write; the splits will lie in it.
        tiling: Size of the tiles. Default None: 256 without overlap, borders and validation as the data set defines.
        workers: Threads. Default None: one for each processor, at most 8.
        accept_incomplete: Take a split for complete though something of it is missing.
        progress: Whether to draw progress bars on stderr.
        value_range: Values of the images that become 0 and 255; needed where they have more than 8 bits.
        scale: Factor on the sides of the images before they are cut; ``facts`` hold the sizes after it.
        ignore_value: The value in the labels that marks pixels without ground truth. Default None: there is none.
    """

    def __init__(self,
                 facts: DatasetFacts,
                 source: str,
                 out: str,
                 tiling: Tiling | None = None,
                 workers: int | None = None,
                 accept_incomplete: bool = False,
                 progress: bool = True,
                 value_range: tuple[float, float] | None = None,
                 scale: float = 1.,
                 ignore_value: int | None = None) -> None:
        self.facts = facts
        self.source = source
        self.out = out
        self.tiling = tiling or Tiling(edges=facts.edges, val_share=facts.val_share)
        self.workers = workers or min(os.cpu_count() or 1, _MOST_THREADS)
        self.accept_incomplete = accept_incomplete
        self.progress = progress
        self.value_range = value_range
        self.scale = scale
        self.ignore_value = ignore_value
        self.scratch = osp.join(out, _SCRATCH)
        self._staged: dict[tuple[str, str | None], str] = {}

    def run(self) -> dict[str, SplitReport]:
        """Convert what is not converted yet.

        Returns:
            What became of each split.

        Raises:
            FileNotFoundError: If the source does not exist.
            FileExistsError: If the output holds something else.
            ValueError: If the source holds nothing of the data set, or a zip is broken.
        """
        expected = expected_counts(self.facts, self.tiling)
        scenes, problems = find_scenes(list_sources(self.source), self.facts)
        folders = {split: self._folder(split) for split in expected}
        os.makedirs(self.scratch, exist_ok=True)
        width = 0
        if self.facts.rasters:
            scenes, broken = self._stage(scenes)
            problems += broken
            width = self.facts.splits['train'].width
            if scenes['train']:
                width = self._raster_shape(scenes['train'][0])[1]
        scenes = set_aside(scenes, self.facts, self.tiling, width)
        jobs = {split: list(self._jobs(scenes.get(split, []))) for split in expected}
        if 'val' not in self.facts.splits and 'val' in expected:
            # With more pairs than in the run before, the border between the two may have moved.
            folders['train'].forget({job.key for job in jobs['val']})
            folders['val'].forget({job.key for job in jobs['train']})
        reports = {split: self._convert_split(jobs[split], folders[split], expected[split],
                                              [problem.text for problem in problems if problem.split == split])
                   for split in expected}
        shutil.rmtree(self.scratch)
        return reports

    def _folder(self, split: str) -> SplitFolder:
        settings = {'dataset': self.facts.key, 'split': split, **asdict(self.tiling)}
        if self.value_range is not None:
            settings['value_range'] = list(self.value_range)
        if self.scale != 1:
            settings['scale'] = self.scale
        if self.ignore_value is not None:
            settings['ignore_value'] = self.ignore_value
        return SplitFolder(self.out, split, settings)

    def _convert_split(self, jobs: list[_Job], folder: SplitFolder, expected: Expected,
                       problems: list[str]) -> SplitReport:
        pending = [job for job in jobs if job.key not in folder.jobs]
        if pending:
            folder.open()
            problems = self._work(pending, folder) + problems
        done = {key.partition('#')[0] for key in folder.jobs}
        report = SplitReport(len(done), len(folder.tiles), expected)
        report.problems = [] if report.is_complete else problems
        if report.tiles and (report.is_complete or self.accept_incomplete):
            folder.finish()
        report.path, report.ignored_tiles = folder.path, len(folder.ignored)
        report.missing = folder.missing
        return report

    def _jobs(self, scenes: list[Scene]) -> Iterator[_Job]:
        for scene in scenes:
            if not self.facts.rasters:
                yield _Job(scene)
            else:
                height = self._raster_shape(scene)[0]
                for row in range(len(tile_origins(height, self.tiling.size, self.tiling.overlap, self.tiling.edges))):
                    yield _Job(scene, row)

    def _work(self, jobs: list[_Job], folder: SplitFolder) -> list[str]:
        """Cut the jobs in parallel; returns what went wrong with the sources."""
        name = osp.basename(folder.final)
        if self.progress:
            print_log(f'{self.facts.title} {name}: {len(jobs)} to do, {len(folder.jobs)} done before')
        bar = ProgressBar(len(jobs), file=sys.stderr) if self.progress else None
        problems = {}
        pool = ThreadPoolExecutor(self.workers)
        try:
            futures = {pool.submit(self._cut, job, folder): job for job in jobs}
            for future in as_completed(futures):
                job = futures[future]
                names, problem = future.result()
                if problem is None:
                    folder.finish_job(job.key, names)
                else:
                    problems[job.key] = problem
                if bar:
                    bar.update()
        finally:  # after an interruption too: what has begun is finished, nothing else is begun
            pool.shutdown(wait=True, cancel_futures=True)
            if bar:
                sys.stderr.write('\n')
        return [problems[job.key] for job in jobs if job.key in problems]

    def _cut(self, job: _Job, folder: SplitFolder) -> tuple[list[str], str | None]:
        """Write the tiles of a job; returns their names, and what is wrong with its files."""
        try:
            tiles = self._read_tiles(job, folder)
        except (OSError, ValueError) as error:
            return [], f'{job.key}: {error}'
        for name, tile in tiles.items():  # outside of the handling above: a full disk is no broken source
            folder.write(name, tile)
        return list(tiles), None

    def _read_tiles(self, job: _Job, folder: SplitFolder) -> dict[str, Tile]:
        size, overlap, edges = self.tiling.size, self.tiling.overlap, self.tiling.edges
        with self._open(job.scene) as pair:
            self._check_shape(job.scene, pair.shape)
            folder.missing.update(pair.missing)
            tops, lefts = (tile_origins(length, size, overlap, edges) for length in pair.shape)
            return {f'{job.scene.stem}_{row}_{column}': pair.tile(top, left, size)
                    for row, top in enumerate(tops) if job.row in (None, row) for column, left in enumerate(lefts)}

    def _open(self, scene: Scene) -> AbstractContextManager[SceneReader]:
        if self.facts.rasters:
            return open_scene_rasters(scene, {role: self._staged_path(scene, role) for role in ROLES})
        return open_scene(scene, self.scratch, self.value_range, self.scale, self.ignore_value,
                          ignore_missing=self.facts.key == OWN_DATA)

    def _check_shape(self, scene: Scene, shape: tuple[int, int]) -> None:
        """Refuse images that are not of the official size: their tiles would show another scale or another part."""
        if self.facts.rasters:
            return  # their widths differ by a pixel between releases; the number of tiles is compared instead
        official = self.facts.splits.get(scene.split) or self.facts.splits['train']
        if tuple(shape) != (official.height, official.width) and not self.accept_incomplete:
            raise ValueError(f'{shape[1]} x {shape[0]} pixels, officially {official.width} x {official.height}')

    def _stage(self, scenes: dict[str, list[Scene]]) -> tuple[dict[str, list[Scene]], list[SplitProblem]]:
        """Make windows of all rasters readable; scenes whose files are broken are left out."""
        good: dict[str, list[Scene]] = {split: [] for split in scenes}
        problems = []
        for split, group in scenes.items():
            for scene in group:
                try:
                    with self._open(scene):  # what cannot be opened is found before anything is planned on it
                        good[split].append(scene)
                except (OSError, ValueError) as error:
                    problems.append(SplitProblem(split, f'{scene.stem}: {error}'))
        return good, problems

    def _staged_path(self, scene: Scene, role: str) -> str:
        file = scene.files[role]
        place = file.container, file.member
        if place not in self._staged:
            self._staged[place] = stage_raster(file, self.scratch)
        return self._staged[place]

    def _raster_shape(self, scene: Scene) -> tuple[int, int]:
        """(H, W) of the part that belongs to the scene."""
        with self._open(scene) as pair:
            return pair.shape


def format_reports(facts: DatasetFacts, tiling: Tiling, out: str, reports: dict[str, SplitReport]) -> str:
    """The counts of each split against the official ones, what is missing, and what to do."""
    lines = [f'{facts.title} in {out}: tiles of {tiling.size} x {tiling.size}, overlap {tiling.overlap}',
             f'{"split":8}{"images":>18}{"tiles":>22}  state']
    for split, report in reports.items():
        images = f'{report.images:,} of {report.expected.images:,}'
        tiles = f'{report.tiles:,} of {report.expected.tiles:,}'
        lines.append(f'{split:8}{images:>18}{tiles:>22}  {_state(report)}')
    if 'val' not in facts.splits and 'val' in reports:
        lines.append(f'{facts.title} has no official validation split: the end of train was set aside for it.')
    ignored = sum(report.ignored_tiles for report in reports.values())
    if ignored:
        lines.append(f'{ignored:,} tiles have pixels without ground truth, which are {STORED_IGNORED} in their labels: '
                     f'set ignore_value={STORED_IGNORED} of the data sets in the config, and --ignore-value '
                     f'{STORED_IGNORED} of mamba-cd check.')
    missing = {name: share for report in reports.values() for name, share in report.missing.items()}
    if missing:
        most = [f'{name} {missing[name]:.1%}' for name in sorted(missing, key=lambda name: -missing[name])]
        effect = ('The labels ignore these pixels. Where they are ground, remove the alpha band or the nodata value, '
                  'and convert into another folder.' if facts.key == OWN_DATA else
                  f'They are taken for ground, since {facts.title} is cut as it was published: compare yours with the '
                  'official download.')
        lines.append(f'{len(missing):,} images have pixels without data (transparent or nodata): {shorten(most)}. '
                     + effect)
    for split, report in reports.items():
        if report.problems:
            lines.append(f'{split}:\n  {_listed(report.problems)}')
    if not all(report.is_in_place for report in reports.values()):
        lines.append('Add or replace these files and run the same command again; what is done is kept. '
                     '--accept-incomplete takes the splits as they are.')
    return '\n'.join(lines)


def _listed(problems: list[str]) -> str:
    shown = '\n  '.join(problems[:_MAX_PROBLEMS])
    more = len(problems) - _MAX_PROBLEMS
    return shown + (f'\n  and {more} more' if more > 0 else '')


def _state(report: SplitReport) -> str:
    if report.is_complete:
        return 'complete'
    if report.is_in_place:
        return 'incomplete, accepted'
    return f'incomplete, in {report.path}' if report.tiles else 'missing'
