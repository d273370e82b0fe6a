"""The trials of an ablation, one per config and seed, and their stored outcomes."""
import copy
import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ...engine.config_options import merge_options
from ...engine.hooks.time_budget_hook import set_time_budget
from ...engine.precision import enable_training_amp
from ...engine.resume import changed_settings, describe_changes
from ...inference.checkpoints import read_checkpoint
from ...io.files import whole_file
from ...models.peers import OpenCDUnavailable, import_open_cd, needs_open_cd

FILENAME = 'outcome.json'
# Scores by protocol, such as {'tiles256': {'changed_F1': 0.8}}; '' where the test loop has no protocols.
Scores = dict[str, dict[str, float]]
# Settings of mmengine's schedulers that are moments or lengths, counted in epochs unless by_epoch is off.
MOMENTS = ('begin', 'end', 'T_max', 'total_iters', 'step_size', 'milestones')


@dataclass(frozen=True)
class Trial:
    """One training and its test.

    Attributes:
        name: File name of the config without suffix.
        seed: Random seed of the training.
        cfg: Config with all options applied.
        folder: Folder of all files of the trial.
    """
    name: str
    seed: int
    cfg: Config
    folder: Path

    @property
    def title(self) -> str:
        """Name in messages."""
        return f'{self.name}, seed {self.seed}'

    @property
    def config_file(self) -> Path:
        """File of ``cfg``; not in the folder itself, where mmengine dumps its own copy."""
        return self.folder / 'plan' / f'{self.name}.py'

    @property
    def masks(self) -> Path:
        """Folder of the predicted masks, 0/255 PNGs by the name of the pair."""
        return self.folder / 'masks'

    @property
    def newest_checkpoint(self) -> Path | None:
        """The last checkpoint that mmengine's CheckpointHook completed."""
        pointer = self.folder / 'last_checkpoint'
        # By its name only, unlike mmengine's find_latest_checkpoint: the folder may have been moved since.
        path = self.folder / Path(pointer.read_text().strip()).name if pointer.is_file() else None
        return path if path is not None and path.is_file() else None

    @property
    def best_checkpoint(self) -> Path | None:
        """The best checkpoint of the validations under its constant name, that by F1 first, else the newest."""
        best = sorted((path for path in self.folder.glob('best_*.pth')
                       if not re.search(r'_(epoch|iter)_\d+$', path.stem)),
                      key=lambda path: (path.name != 'best_changed_F1.pth', path.name))
        return best[0] if best else self.newest_checkpoint

    @property
    def epochs(self) -> int:
        """Epochs trained, by the name of the newest checkpoint; 0 where there is none, or it counts iterations."""
        path = self.newest_checkpoint
        epoch = re.fullmatch(r'epoch_(\d+)', path.stem) if path else None
        return int(epoch.group(1)) if epoch else 0

    @property
    def steps(self) -> int:
        """Steps of the optimizer that the newest checkpoint has behind it, at the end; 0 where there is none.

        Gradients may be accumulated over several batches. What is left over at the end makes a last, smaller step, but
        for TimeBudgetHook, which does not know the end.
        """
        path = self.newest_checkpoint
        batches = int(read_checkpoint(str(path)).get('meta', {}).get('iter', 0)) if path else 0
        each = (self.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        scheduler = (self.cfg.get('default_hooks') or {}).get('param_scheduler') or {}
        return batches // each if scheduler.get('type') == 'TimeBudgetHook' else -(-batches // each)


def make_plan(configs: Sequence[str],
              seeds: Sequence[int],
              work_dir: Path,
              options: dict[str, Any] | None = None,
              minutes: float | None = None,
              clock: str = 'wall',
              recipe: str | None = None,
              epochs: int | None = None,
              amp: str | None = None,
              same_loss: bool = False) -> list[Trial]:
    """Read all configs and check them before any training starts.

    Seeds are the outer order, so that an ablation which is cut short has compared all configs once.

    Args:
        configs: config files.
        seeds: a trial per config and seed.
        work_dir: folder for the folders of the trials.
        options: settings for all trials, by dotted keys.
        minutes: time that every training gets, its schedule fitted by TimeBudgetHook; None trains for a number of
            epochs.
        clock: of the minutes, ``'wall'`` or ``'cpu'``; see TimeBudgetHook.
        recipe: a config whose data, training and metric all trials share; only the models are those of the configs.
        same_loss: whether they share the recipe's loss too, where a head has ``loss_decode``.
        epochs: number of every training, its schedule fitted; None leaves every config its own.
        amp: precision of all trainings: 'bf16', 'fp16', or 'auto'; None is that of the configs.

    Raises:
        FileNotFoundError: if a config does not exist.
        KeyError: if an option names a key that a config does not have.
        OpenCDUnavailable: if all configs need Open-CD, and it cannot be imported; some of them are left out.
        ValueError: if two configs have the same file name, a seed occurs twice, or a folder holds a trial with other
            settings; if a config does not count epochs that are to be set, or its schedule cannot be fitted into a
            time; if the machine lacks a precision.
    """
    names = [Path(config).stem for config in configs]
    _refuse_repeated('configs named', names)
    _refuse_repeated('seeds', seeds)
    trials = []
    loaded = _load_configs(configs)
    if recipe is not None:
        shared = Config.fromfile(recipe)
        loaded = {name: _train_like(cfg, shared, same_loss) for name, cfg in loaded.items()}
    for seed in seeds:
        for name, original in loaded.items():
            cfg = copy.deepcopy(original)
            merge_options(cfg, options or {})
            cfg.merge_from_dict({'randomness.seed': seed})
            if amp is not None:
                enable_training_amp(cfg, amp)
            if epochs is not None:
                _set_epochs(cfg, name, epochs)
            if minutes is not None:
                set_time_budget(cfg, minutes, clock)
            trials.append(Trial(name, seed, cfg, work_dir / f'{name}_seed{seed}'))
    for trial in trials:
        _refuse_other_settings(trial)
    return trials


def _load_configs(configs: Sequence[str]) -> dict[str, Config]:
    """The configs by their names, without those that need Open-CD where it cannot be imported."""
    loaded: dict[str, Config] = {}
    unavailable: list[OpenCDUnavailable] = []
    for config in map(Path, configs):
        if not config.is_file():
            raise FileNotFoundError(f'config {config} does not exist; those of this project are under configs/')
        try:
            cfg = Config.fromfile(config)
            if needs_open_cd(cfg):
                import_open_cd()
            loaded[config.stem] = cfg
        except OpenCDUnavailable as error:
            print_log(f'{config.stem} is left out: {error}', level=logging.WARNING)
            unavailable.append(error)
    if not loaded and unavailable:
        raise unavailable[0]
    return loaded


def _train_like(cfg: Config, recipe: Config, same_loss: bool) -> Config:
    """The recipe with a config's model, and what its processes must know of it: what it imports, and what GPUs need.

    A loss of its own can decide more in a short training than the model does. Losses of further outputs stay.
    """
    mixed = copy.deepcopy(recipe)
    mixed.model = copy.deepcopy(cfg.model)
    if same_loss:
        losses, own = _named_losses(recipe), cfg.model.decode_head.get('loss_decode')
        # Our heads name their losses; mmseg's, and with them Open-CD's, have one loss or a list.
        named = own is not None and 'type' not in own and not isinstance(own, list)
        mixed.model.decode_head.loss_decode = copy.deepcopy(losses) if named else \
            [dict(loss, _scope_='mmseg') for loss in losses.values() if loss is not None]
    mixed.find_unused_parameters = cfg.get('find_unused_parameters', False)
    imports = [name for each in (recipe, cfg) for name in _imports(each)]
    if len(set(imports)) > len(set(_imports(recipe))):  # the parts of a model may be registered by the user's package
        mixed.custom_imports = dict(imports=list(dict.fromkeys(imports)), allow_failed_imports=False)
    return mixed


def _imports(cfg: Config) -> list[str]:
    names = (cfg.get('custom_imports') or {}).get('imports') or []
    return [names] if isinstance(names, str) else list(names)


def _named_losses(recipe: Config) -> dict[str, Any]:
    losses = recipe.model.get('decode_head', {}).get('loss_decode')
    if not isinstance(losses, dict) or 'type' in losses:
        raise ValueError(f'--same-loss: {recipe.filename} has no losses with names in model.decode_head.loss_decode, '
                         'as the heads of this package have them. Leave --same-loss out, or choose another config for '
                         '--as')
    return losses


def _set_epochs(cfg: Config, name: str, epochs: int) -> None:
    """Change the length of a training, and its schedule by the same factor."""
    before = cfg.train_cfg.get('max_epochs')
    if epochs < 1 or not before:
        raise ValueError(f'{name}: {epochs} epochs cannot be set; expected at least 1, and a config with '
                         f'train_cfg.max_epochs, which is {before}')

    def fitted(value: Any) -> Any:
        return [fitted(item) for item in value] if isinstance(value, (list, tuple)) else \
            max(1, round(value * epochs / before)) if value else value

    schedulers = cfg.get('param_scheduler') or []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if scheduler.get('by_epoch', True):
            scheduler.update({key: fitted(scheduler[key]) for key in MOMENTS if key in scheduler})
    cfg.train_cfg.max_epochs = epochs


def write_config(trial: Trial) -> None:
    """Write the config of a trial for its subprocesses."""
    trial.config_file.parent.mkdir(parents=True, exist_ok=True)
    trial.cfg.dump(trial.config_file)


def _refuse_repeated(what: str, values: Sequence[Any]) -> None:
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(f'{what} {", ".join(map(str, repeated))} occur more than once: their trials would share a '
                         'folder')


def _refuse_other_settings(trial: Trial) -> None:
    """Refuse to resume a folder whose settings have changed since."""
    if not trial.config_file.is_file():
        return
    changed = changed_settings(Config.fromfile(trial.config_file).to_dict(), trial.cfg.to_dict())
    if changed:
        raise ValueError(f'{trial.folder} holds a trial with other settings: {describe_changes(changed, shown=1)}. '
                         'Choose another --work-dir, or delete that folder to train it anew.')


@dataclass
class Outcome:
    """State of a trial.

    Attributes:
        status: 'new', 'done' or 'failed'.
        trained: whether the training has ended, whatever became of the test.
        error: why it failed.
        seconds: wall-clock time of the training, its starts included; all attempts together.
        epochs: number of trained epochs.
        steps: number of the optimizer's steps, each of one batch or, with accumulated gradients, of several.
        cpu_seconds: time that the cores worked for the training, its starts and data workers included.
        peak_mib: peak memory of the training process, without its data workers.
        scores: scores of the test, as fractions.
    """
    status: str = 'new'
    trained: bool = False
    error: str = ''
    seconds: float = 0.
    epochs: int = 0
    steps: int = 0
    cpu_seconds: float = 0.
    peak_mib: float = 0.
    scores: Scores = field(default_factory=dict)


def read_outcome(trial: Trial) -> Outcome:
    """The stored outcome of a trial, or a new one."""
    path = trial.folder / FILENAME
    return Outcome(**json.loads(path.read_text())) if path.is_file() else Outcome()


def write_outcome(trial: Trial, outcome: Outcome) -> None:
    """Store the outcome of a trial atomically."""
    with whole_file(trial.folder / FILENAME) as part:
        part.write_text(json.dumps(asdict(outcome), indent=2))


def read_scores(folder: Path) -> Scores:
    """The metrics of the newest test in a work dir, where mmengine's LoggerHook writes them; empty without any."""
    files = sorted(folder.glob('*/*.json'))
    scores: Scores = {}
    for key, value in json.loads(files[-1].read_text()).items() if files else ():
        protocol, _, name = key.rpartition('/')
        if name not in ('time', 'data_time'):  # mmengine's, of a batch
            scores.setdefault(protocol, {})[name] = value
    return scores
