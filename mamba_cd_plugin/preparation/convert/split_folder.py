"""The folder of one split while it fills up, so that an interrupted conversion resumes and never looks complete."""
import json
import os
import os.path as osp
from typing import Any

import numpy as np
from PIL import Image

from ...io.files import whole_file
from .catalog import ROLES
from .sources import RECORD
from .tiles import STORED_IGNORED, Tile

# The fastest level of zlib: its files are 2 % larger than those of the default, in a quarter of the time.
_COMPRESS_LEVEL = 1
_JOURNAL = 'done.jsonl'


class SplitFolder:
    """Folder of tiles of one split.

    ::

        root/train.partial/   until the split is complete
          A/ B/ label/        tiles; each is written under another name and then renamed, so that it is never half there
          prepare.json        the settings
          done.jsonl          one line for each job whose tiles are all there
        root/train/           the same, renamed at the end

    Args:
        root: Folder of the converted data set.
        split: Name of the split.
        settings: Settings of the conversion; a split made with other settings is not continued.

    Raises:
        FileExistsError: If the folder exists and was made otherwise.
    """

    def __init__(self, root: str, split: str, settings: dict[str, Any]) -> None:
        self.final = osp.join(root, split)
        self.partial = f'{self.final}.partial'
        self.settings = settings
        self.path = self.final if osp.isdir(self.final) else self.partial
        if osp.isdir(self.final) and osp.isdir(self.partial):
            raise FileExistsError(f'{self.final} and {self.partial} are both there; remove the one that is not needed')
        if osp.isdir(self.path):
            self._check_settings()
        self.jobs = self._read_journal()
        self.ignored: set[str] = set()  # tiles with pixels without ground truth, of those that are written now
        self.missing: dict[str, float] = {}  # by image file, the share of its pixels without data, of those read now

    @property
    def tiles(self) -> set[str]:
        """Names of the tiles of all finished jobs."""
        return {name for names in self.jobs.values() for name in names}

    def open(self) -> None:
        """Make the folder ready for more tiles; a split that was complete is no longer taken for it."""
        if self.path == self.final:
            os.rename(self.final, self.partial)
            self.path = self.partial
        for role in ROLES:
            os.makedirs(osp.join(self.path, role), exist_ok=True)
        record = osp.join(self.path, RECORD)
        if not osp.isfile(record):
            with whole_file(record) as part:
                part.write_text(json.dumps(self.settings, indent=2), 'utf-8')
        journal = osp.join(self.path, _JOURNAL)
        if osp.isfile(journal):  # without a line that an interruption cut short
            with whole_file(journal) as part:
                part.write_text(''.join(json.dumps(job) + '\n' for job in self.jobs.items()), 'utf-8')

    def write(self, name: str, tile: Tile) -> None:
        """Write the three files of a tile, the label as 0 and 255, and :data:`STORED_IGNORED` where it is ignored."""
        ignored = tile.label > 1
        label = np.where(ignored, np.uint8(STORED_IGNORED), np.where(tile.label == 1, np.uint8(255), np.uint8(0)))
        if ignored.any():
            self.ignored.add(name)
        for role, array in zip(ROLES, (tile.a, tile.b, label)):
            path = osp.join(self.path, role, f'{name}.png')
            with whole_file(path, sync=False) as part:  # empty files are looked for when a conversion resumes
                Image.fromarray(array).save(part, format='PNG', compress_level=_COMPRESS_LEVEL)

    def finish_job(self, key: str, names: list[str]) -> None:
        """Note that all tiles of a job are there."""
        self.jobs[key] = names
        with open(osp.join(self.path, _JOURNAL), 'a') as journal:
            journal.write(json.dumps([key, names]) + '\n')

    def finish(self) -> None:
        """Take the split for complete: remove what belongs to no job, and give the folder its name."""
        if self.path == self.final:
            return
        wanted = {f'{name}.png' for name in self.tiles}
        for role in ROLES:
            for file in set(os.listdir(osp.join(self.path, role))) - wanted:
                os.remove(osp.join(self.path, role, file))
        os.rename(self.partial, self.final)
        self.path = self.final

    def forget(self, keys: set[str]) -> None:
        """Let go of jobs that belong to another split; :meth:`finish` removes their tiles."""
        if not keys.isdisjoint(self.jobs):
            self.jobs = {key: names for key, names in self.jobs.items() if key not in keys}
            self.open()

    def _check_settings(self) -> None:
        record = osp.join(self.path, RECORD)
        if not osp.isfile(record):
            if self.path == self.partial and not os.listdir(self.partial):
                return
            raise FileExistsError(f'{self.path} exists and was not made by this conversion (it holds no {RECORD}); '
                                  'choose another folder to write to')
        with open(record) as file:
            made = json.load(file)
        changed = [f'{key} {made.get(key)!r} (now {value!r})' for key, value in self.settings.items()
                   if made.get(key) != value]
        if changed:
            raise FileExistsError(f'{self.path} was made with other settings: {", ".join(changed)}; use the same ones '
                                  'to resume, or choose another folder to write to, or remove this one')

    def _read_journal(self) -> dict[str, list[str]]:
        """The finished jobs of which all files are still there."""
        journal = osp.join(self.path, _JOURNAL)
        if not osp.isfile(journal):
            return {}
        present = set.intersection(*(_filled_files(osp.join(self.path, role)) for role in ROLES))
        jobs = {}
        with open(journal) as file:
            for line in file:
                if line.endswith('\n'):
                    key, names = json.loads(line)
                    if present.issuperset(f'{name}.png' for name in names):
                        jobs[key] = names
        return jobs


def _filled_files(folder: str) -> set[str]:
    """Files that are not empty, as a power failure may leave them."""
    if not osp.isdir(folder):
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.stat().st_size > 0}
