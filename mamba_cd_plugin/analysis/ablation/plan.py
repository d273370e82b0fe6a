"""What an ablation is going to train: every config with every seed, each in a folder of its own."""
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config

from ...engine.config_options import merge_options


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Attributes:
        name: of the config, its file name without suffix.
        seed: of the training.
        cfg: the config with every option in it.
        folder: of whatever the run writes.
    """
    name: str
    seed: int
    cfg: Config
    folder: Path

    @property
    def title(self) -> str:
        """For messages."""
        return f'{self.name}, seed {self.seed}'

    @property
    def config_file(self) -> Path:
        """Where ``cfg`` is written; not in the folder itself, where mmengine dumps one with the command line in it."""
        return self.folder / 'plan' / f'{self.name}.py'

    @property
    def masks(self) -> Path:
        """Where the test writes what it predicted, where that is wanted: 0/255 PNGs by the pair's name."""
        return self.folder / 'masks'


def make_plan(configs: Sequence[str],
              seeds: Sequence[int],
              work_dir: Path,
              options: Optional[Dict[str, Any]] = None,
              minutes: Optional[float] = None) -> List[Run]:
    """Read every config, and say now what would go wrong hours later.

    Seeds are the outer order, so that an ablation which is cut short has compared all configs once.

    Args:
        configs: config files.
        seeds: a run per config and seed.
        work_dir: for the folders of the runs.
        options: settings for all runs, by dotted keys.
        minutes: wall-clock time that every training gets, its schedule fitted by TimeBudgetHook; None trains every
            config for its own number of epochs.

    Raises:
        FileNotFoundError: if a config does not exist.
        KeyError: if an option names a key that a config does not have.
        ValueError: if two configs have the same file name, a seed occurs twice, or a folder holds a run with other
            settings.
    """
    names = [Path(config).stem for config in configs]
    _refuse_repeated('configs named', names)
    _refuse_repeated('seeds', seeds)
    runs = []
    for seed in seeds:
        for config, name in zip(configs, names):
            if not Path(config).is_file():
                raise FileNotFoundError(f'config {config} does not exist; those of this project are under configs/')
            cfg = Config.fromfile(config)
            merge_options(cfg, options or {})
            cfg.merge_from_dict({'randomness.seed': seed})
            if minutes is not None:
                cfg.merge_from_dict({'default_hooks.param_scheduler': dict(type='TimeBudgetHook', minutes=minutes)})
            runs.append(Run(name, seed, cfg, work_dir / f'{name}_seed{seed}'))
    for run in runs:
        _refuse_other_settings(run)
    return runs


def write_config(run: Run) -> None:
    """Write down what the run is trained with; from there its subprocesses read it."""
    run.config_file.parent.mkdir(parents=True, exist_ok=True)
    run.cfg.dump(run.config_file)


def _refuse_repeated(what: str, values: Sequence[Any]) -> None:
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(f'{what} {", ".join(map(str, repeated))} occur more than once; their runs would share folders')


def _refuse_other_settings(run: Run) -> None:
    """A folder from an earlier call goes on or is taken as finished only if nothing has been changed since."""
    if not run.config_file.is_file():
        return
    before, now = (dict(_flat(cfg.to_dict())) for cfg in (Config.fromfile(run.config_file), run.cfg))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        first, more = changed[0], f', and {len(changed) - 1} more' if changed[1:] else ''
        raise ValueError(
            f'{run.folder} holds a run with other settings: {first} was {before.get(first, "not set")} and is now '
            f'{now.get(first, "not set")}{more}. Choose another --work-dir, or delete that folder to train it anew.')


def _flat(node: Any, prefix: str = '') -> Iterator[Tuple[str, Any]]:
    """The plain values of nested dicts and lists, by dotted keys."""
    if not isinstance(node, (dict, list, tuple)) or not node:
        yield prefix, node
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _flat(value, f'{prefix}.{key}' if prefix else str(key))
