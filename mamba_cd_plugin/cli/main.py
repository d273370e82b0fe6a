"""The console command ``mamba-cd``: finds the module of a subcommand, and imports no other.

A subcommand is a row below and a module with ``add_arguments(parser)`` and ``run(args)``, whose docstring describes it.
"""
import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NamedTuple

from ..io.files import place_errors
from ..private_names import end_process
from ..version import __version__


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        module: Name of the module with ``add_arguments`` and ``run``.
        help: Description in one line.
        loads_models: Whether it needs the registered components; they are registered before the module is imported.
    """
    module: str
    help: str
    loads_models: bool = False


_PREFIX = 'mamba_cd_plugin'
COMMANDS = {
    'train': Command('cli.train', 'train a model', True),
    'test': Command('cli.test', 'score a checkpoint on a test set', True),
    'predict': Command('cli.predict', 'find what changed between two images, or two folders of images', True),
    'mosaic': Command('cli.mosaic', 'predict a whole region of many rasters, on one machine or many', True),
    'export': Command('cli.export', 'write a checkpoint as ONNX or torch.export program', True),
    'publish': Command('cli.publish', 'put weights, config and scores of a checkpoint into one small file', True),
    'prepare': Command('cli.prepare', 'cut LEVIR-CD, WHU-CD, ... into tiles for training'),
    'synthetic': Command('cli.synthetic', 'write a data set of generated scenes'),
    'sample': Command('cli.sample', 'write a generated town as two GeoTIFFs to try prediction on'),
    'check': Command('cli.check', 'find every problem of a data set'),
    'browse': Command('cli.browse', 'see pairs as the model gets them, after augmentation', True),
    'report': Command('cli.report', 'one HTML page of a run, or a comparison of several', True),
    'ablation': Command('cli.ablation', 'train several configs under the same conditions and compare them', True),
    'benchmark': Command('cli.benchmark', 'time and memory of the scan, the model and its training step', True),
    'benchmark-predict': Command('cli.benchmark_predict', 'speed and memory of predicting large GeoTIFFs', True),
    'check-predict': Command('cli.check_predict', 'check prediction on a large generated town', True),
    'check-soak': Command('cli.check_soak', 'predict and train for minutes on end; memory, files and threads', True),
    'check-stops': Command('cli.check_stops', 'stop a training again and again, and compare its end', True),
    'check-disks': Command('cli.check_disks', 'let commands write to disks that are full or read-only', True),
    'check-inputs': Command('cli.check_inputs', 'give damaged and hostile files to everything that reads some', True),
    'flops': Command('cli.flops', 'parameters and FLOPs of a model, part by part', True),
    'convert-weights': Command('cli.convert_weights', 'convert official VMamba or ChangeMamba weights', True),
    'doctor': Command('doctor.__main__', 'examine this installation, and print commands that fix its problems'),
    'configs': Command('cli.configs', 'list the configs, or copy one to edit'),
    'models': Command('cli.models', 'list the weights that come with the package'),
}
# What ends a command with one line instead of a traceback: the user can do something about it. A module that wants
# others names them in ERRORS.
ERRORS = (ValueError, OSError, ImportError)


def list_commands() -> str:
    """The help of the whole, without importing any command."""
    width = max(map(len, COMMANDS)) + 2
    lines = '\n'.join(f'  {name:{width}}{command.help}' for name, command in COMMANDS.items())
    return ('usage: mamba-cd COMMAND [arguments]\n\nChange detection in bitemporal satellite images with state-space '
            f'models.\n\ncommands:\n{lines}\n\nmamba-cd COMMAND --help describes one; mamba-cd --version prints '
            'the version.\n')


class Stopped(SystemExit):
    """Ctrl-C, with the line that says how to go on."""


@contextmanager
def one_line(errors: Sequence[type[BaseException]] = ERRORS) -> Iterator[None]:
    """End the process with one line where one of these errors is raised inside.

    Raises:
        SystemExit: With the message.
    """
    try:
        yield
    except tuple(errors) as error:
        # A KeyError's own text is its message in quotes.
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise SystemExit(f'error: {message}') from error


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process by the signal itself while the libraries are imported, which may take half a minute.

    Nothing is open or written yet. An exception would wait for the end of the library that is being loaded, and show
    where that was.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or \
            threading.current_thread() is not threading.main_thread():  # somebody else's business
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def interruptions_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt again a moment after it came where Python may not raise anything.

    In a destructor, in what is called when an object dies, and around a fork Python prints an exception and forgets it:
    there Ctrl-C would be lost, and the command go on. Windows has no such timer: there it does nothing.
    """
    if not hasattr(signal, 'setitimer') or threading.current_thread() is not threading.main_thread():
        yield
        return

    def show_or_repeat(lost: 'sys.UnraisableHookArgs') -> None:
        if lost.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.01)  # which may be lost as well, and is repeated then
        else:
            show(lost)

    show, alarm = sys.unraisablehook, signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = show_or_repeat
    try:
        yield
    finally:
        sys.unraisablehook = show
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)


def _is_interruption(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: mmengine makes a SyntaxError of it while it formats a config."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interruption(error.__context__))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: The command and its arguments; those of the process by default.

    Returns:
        The exit status.

    Raises:
        SystemExit: With what is wrong with the arguments, or with what they name.
    """
    words: list[str] = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ('-h', '--help'):
        sys.stdout.write(list_commands())
        return 0 if words else 2
    if words[0] == '--version':
        sys.stdout.write(f'mamba-cd {__version__}\n')
        return 0
    name, *arguments = words
    if name not in COMMANDS:
        raise SystemExit(f'mamba-cd: there is no command {name!r}; there are {", ".join(COMMANDS)}')
    with one_line((ImportError, )), _interrupted_at_once():
        if COMMANDS[name].loads_models:
            import_module(f'{_PREFIX}.cli.process').prepare_process()
        module = import_module(f'{_PREFIX}.{COMMANDS[name].module}')
    parser = argparse.ArgumentParser(prog=f'mamba-cd {name}', description=module.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    args = parser.parse_args(arguments)
    folder = getattr(args, 'out', None) or getattr(args, 'work_dir', None) or '.'
    with one_line(getattr(module, 'ERRORS', ERRORS)), place_errors(folder):
        try:
            return module.run(args) or 0
        except BaseException as error:
            if _is_interruption(error):
                raise Stopped(f'\n{getattr(module, "STOPPED", "stopped")}') from None
            raise


def console(*command: str) -> int:
    """:func:`main` as a process of its own, with the arguments of that process.

    After Ctrl-C it leaves out the interpreter's own end, which takes a second of processor time for torch alone. So it
    does where several processes train or test together: on CPUs about one in twelve of them is aborted there by
    torch 2.13 itself ("terminate called without an active exception"), whether it has left their group or not.

    Args:
        command: What comes before the arguments.

    Returns:
        The exit status.

    Raises:
        SystemExit: See :func:`main`.
    """
    try:
        with interruptions_kept():
            status = main([*command, *sys.argv[1:]])
    except Stopped as stopped:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # who presses it again does not want to wait at all
        sys.stdout.flush()
        sys.stderr.write(f'{stopped}\n')
        end_process(1)
    distributed = sys.modules.get('torch.distributed')
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        end_process(status)
    return status


def run_tool(*command: str) -> None:
    """What a script under tools/ does: the subcommand with the arguments of the process.

    Raises:
        SystemExit: If the exit status is not 0.
    """
    status = console(*command)
    if status:
        raise SystemExit(status)
