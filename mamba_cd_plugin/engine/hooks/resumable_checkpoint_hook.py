"""Hook that writes the checkpoints of a training: whole, in order, and at a signal."""
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.dist import get_rank, is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ...io.files import whole_file
from ..recovery import INTERRUPTED, POINTER, clear_leftovers, refuse_used_work_dir
from ..seeds import seed_all

# Key in mmengine's message hub, which travels with the checkpoints: the iteration of the last validation. Not with
# 'val' in front, or mmengine logs it among the scores.
VALIDATED = 'last_validated_iter'
# What a shell reports for a process that was ended by SIGTERM (128 + 15), so that a scheduler sees what happened.
TERMINATED = 143


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, same arguments, from whose checkpoints a run goes on as if it had never stopped.

    ::

        epoch --> epoch_N.pth --> validation --> best_<key>.pth --> epoch_N.pth again, with the validation's results
                                                                --> last_checkpoint --> the older ones are deleted

    - A file appears under its name when it is whole, and the older one goes only then. mmengine's hook deletes first
      and writes in place: a run that is killed meanwhile has nothing left.
    - The state after a validation is kept: the best score, the patience, a schedule that follows the score. A run that
      was stopped between the two writes validates first when it is resumed.
    - The best checkpoint is called ``best_<key>.pth``, such as ``best_changed_F1.pth``, without its epoch: a command in
      a README, or a script over many runs, needs a name that is known beforehand.
    - Every iteration is seeded by its number (dropout, drop path), so that nothing has to be known about generators.
    - SIGTERM, which Slurm sends before a time limit ends, writes ``interrupted.pth`` after the running iteration.

    Nothing of another training is overwritten: a new one in a folder with checkpoints is refused.

    Raises:
        ValueError: If ``save_best`` is 'auto', which would be another score for another metric.
        FileExistsError: If a new training begins in the folder of another.
        SystemExit: With status 143, after SIGTERM.
    """

    # Last of all, so that what other hooks know of a validation is in the checkpoint; the guards come just before.
    priority = 'LOWEST'
    out_dir: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.save_best and 'auto' in self.key_indicators:
            raise ValueError("ResumableCheckpointHook.save_best = 'auto': name the score, such as 'changed_F1'")
        self._training = False
        self._stopped_by: int | None = None
        self._previous_handler: Any = None
        self._process = os.getpid()

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder, wait for signals, and make up for a validation that was cut short."""
        resumed = bool(runner.cfg.get('resume'))
        self._find_folder(runner)
        if not resumed:
            refuse_used_work_dir(self.out_dir)
            runner.message_hub.update_info(VALIDATED, 0)
        if is_main_process() and '://' not in str(self.out_dir):
            clear_leftovers(self.out_dir)
        self._training = True
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():  # the only one that Python lets handle signals
            self._previous_handler = signal.signal(signal.SIGTERM, self._note_signal)
        if resumed and self._validation_is_due(runner):
            runner.logger.info('The validation after the checkpoint was interrupted: it is run now')
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed this iteration; on every process with other numbers."""
        seed_all(int(runner.seed or 0), runner.iter, get_rank())

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Save if the schedule counts iterations, or if the run was asked to end."""
        done = runner.iter + 1
        if not self.by_epoch and (self.every_n_train_iters(runner, self.interval, self.save_begin)
                                  or self.save_last and self.is_last_train_iter(runner)):
            self._save(runner, done, dict(epoch=runner.epoch, iter=done))
        if self._stopped_by is not None:
            self._write(runner, INTERRUPTED, dict(epoch=runner.epoch, iter=done))
            self._point_to(runner, INTERRUPTED)
            self._stop(runner, f'after iteration {done}; its state is in {Path(self.out_dir) / INTERRUPTED}')

    def after_train_epoch(self, runner: Runner) -> None:
        """Save before the validation, which may take long."""
        done = runner.epoch + 1
        if self.by_epoch and (self.every_n_epochs(runner, self.interval, self.save_begin)
                              or self.save_last and self.is_last_train_epoch(runner)):
            self._save(runner, done, dict(epoch=done, iter=runner.iter))

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence | None = None) -> None:
        """End a validation where the run is asked to: its weights are saved already."""
        if self._training and self._stopped_by is not None:
            self._stop(runner, 'during a validation, which a resumed run repeats')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the best, and save what is known now beside the weights of this epoch."""
        if not self._training:
            return
        self._save_best(runner, metrics or {})
        runner.message_hub.update_info(VALIDATED, runner.iter)
        step = runner.epoch if self.by_epoch else runner.iter
        if step in runner.message_hub.get_info('keep_ckpt_ids', []):
            self._save(runner, step, dict(epoch=runner.epoch, iter=runner.iter))

    def after_train(self, runner: Runner) -> None:
        """Stop waiting for signals."""
        super().after_train(runner)
        self._training = False
        if self._previous_handler is not None:
            signal.signal(signal.SIGTERM, self._previous_handler)

    def _find_folder(self, runner: Runner) -> None:
        """Set the folder as mmengine's hook does, but without its deprecated FileClient, which warns at every start."""
        folder = self.out_dir or runner.work_dir
        self.file_backend = get_file_backend(folder, backend_args=self.backend_args)
        if folder != runner.work_dir:
            folder = self.file_backend.join_path(folder, Path(runner.work_dir).name)
        self.out_dir = folder
        runner.logger.info(f'Checkpoints will be saved to {folder}')

    def _save(self, runner: Runner, step: int, meta: dict) -> None:
        """Write a training checkpoint, note it as the newest, and only then delete what is no longer wanted."""
        kept: list[int] = [each for each in runner.message_hub.get_info('keep_ckpt_ids', []) if each != step] + [step]
        dropped = kept[:-self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('keep_ckpt_ids', kept[len(dropped):])
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.logger.info(f'Saving {name}')
        self._write(runner, name, meta, save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler, **self.args)
        self._point_to(runner, name)
        if is_main_process():
            for gone in [*(self.filename_tmpl.format(each) for each in dropped), INTERRUPTED]:
                path = self.file_backend.join_path(self.out_dir, gone)
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)

    def _save_best(self, runner: Runner, metrics: dict[str, float]) -> None:
        for key in self.key_indicators if self.save_best else ():
            if metrics.get(key) is None:
                runner.logger.warning(f'This validation gives no {key}, so that the best checkpoint stays as it is; '
                                      f'it gives {", ".join(metrics) or "nothing"}')
                continue
            suffix = '' if len(self.key_indicators) == 1 else f'_{key}'
            best = runner.message_hub.get_info(f'best_score{suffix}')
            if best is not None and not self.is_better_than[key](metrics[key], best):
                continue
            name = f'best_{key.replace("/", "_")}.pth'
            runner.message_hub.update_info(f'best_score{suffix}', metrics[key])
            runner.message_hub.update_info(f'best_ckpt{suffix}', self.file_backend.join_path(self.out_dir, name))
            self._write(runner, name, dict(epoch=runner.epoch, iter=runner.iter), save_optimizer=False,
                        save_param_scheduler=False)
            runner.logger.info(f'The best {key} so far is {metrics[key]:.4f}: {name}')

    def _write(self, runner: Runner, name: str, meta: dict, **kwargs: Any) -> None:
        """Write a checkpoint so that it is there as a whole or not at all."""
        if not is_main_process():
            return
        options = dict(meta=meta, by_epoch=self.by_epoch, backend_args=self.backend_args, **kwargs)
        if '://' in str(self.out_dir):  # an object store takes a file as a whole anyway
            runner.save_checkpoint(self.out_dir, name, **options)
            return
        with whole_file(Path(self.out_dir) / name) as part:
            runner.save_checkpoint(str(part.parent), part.name, **options)

    def _point_to(self, runner: Runner, name: str) -> None:
        """Note the newest checkpoint where mmengine looks for it."""
        if is_main_process():
            with whole_file(Path(runner.work_dir) / POINTER) as part:
                part.write_text(str(self.file_backend.join_path(self.out_dir, name)))

    def _validation_is_due(self, runner: Runner) -> bool:
        """Whether the loop would have validated where the checkpoint was written, and did not."""
        loop, validated = runner.train_loop, runner.message_hub.get_info(VALIDATED)
        if runner.val_loop is None or validated is None or validated == runner.iter:
            return False
        if isinstance(loop, EpochBasedTrainLoop):
            done, end = loop.epoch, loop.max_epochs
            if loop.iter > done * len(loop.dataloader):  # within an epoch; a last one that was cut has fewer
                return False
        else:
            done, end = loop.iter, loop.max_iters
        return done >= loop.val_begin and done > 0 and (done % loop.val_interval == 0 or done == end)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the signal until the iteration is over; a second one ends the process at once."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != self._process:  # a forked process inherits the handler, but has no iteration to finish
            os.kill(os.getpid(), number)
        self._stopped_by = number

    def _stop(self, runner: Runner, where: str) -> None:
        runner.visualizer.close()  # writes out what TensorBoard still holds back
        runner.logger.warning(f'Stopped by {signal.Signals(self._stopped_by).name} {where}. Run the same command with '
                              '--resume to continue.')
        if get_rank() != 0:  # it has nothing to write, and no process may wait for it at its exit
            os._exit(TERMINATED)
        raise SystemExit(TERMINATED)
