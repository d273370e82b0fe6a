"""Settings of a config overridden by ``key=value``, with unknown keys refused."""
import argparse
import difflib
from typing import Any

from mmengine.config import Config, DictAction

# Keys that mmengine's Runner reads and a config need not have.
RUNNER_KEYS = {
    'auto_scale_lr', 'custom_hooks', 'env_cfg', 'experiment_name', 'launcher', 'load_from', 'log_level',
    'log_processor', 'param_scheduler', 'randomness', 'resume', 'visualizer', 'work_dir'
}


class OptionsAction(DictAction):
    """mmengine's ``key=value`` arguments, with a message in the place of a traceback for what is none."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        """Read the values.

        Raises:
            argparse.ArgumentError: If one is no ``key=value``, or its value cannot be read.
        """
        read: dict[str, Any] = {}
        for word in values:
            key, equals, _ = word.partition('=')
            if not equals or not key:
                raise argparse.ArgumentError(self, f'expected key=value, got {word!r}')
            one = argparse.Namespace()
            try:
                super().__call__(parser, one, [word], option_string)
            except (AssertionError, ValueError, IndexError, RecursionError) as error:  # as its parser of lists fails
                raise argparse.ArgumentError(self, f'the value of {word[:80]!r} cannot be read: {error}. Expected a '
                                                   'number, a word, or a list such as [1,2]') from error
            read.update(getattr(one, self.dest))
        setattr(namespace, self.dest, read)


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Override settings of a config in place.

    Args:
        cfg: the config.
        options: values by dotted keys.

    Raises:
        KeyError: if an option names a key that neither the config nor mmengine's Runner has.
        ValueError: if the value of one cannot stand in the place of what is there.
    """
    for key in options:
        check_option(cfg, key)
    try:
        cfg.merge_from_dict(options)
    except TypeError as error:  # a dict in the place of a plain value, or the other way round
        raise ValueError(f'--cfg-options {" ".join(options)}: {error}') from error


def check_option(cfg: Config, key: str) -> None:
    """Refuse an override whose parent does not exist, which mmengine would merge silently and then never read.

    Args:
        cfg: the config before the override.
        key: dotted key, such as ``model.decode_head.threshold``. Its last part may be new: many optional arguments are
            not written out in a config, and a part refuses one it does not know.

    Raises:
        KeyError: naming the unknown part and the most similar keys there are.
    """
    *parents, last = key.split('.')
    if not parents and last in RUNNER_KEYS:
        return
    node = cfg
    for depth, part in enumerate(parents or [last]):
        known = list(map(str, range(len(node)))) if isinstance(node, (list, tuple)) else list(node.keys())
        if part not in known:
            similar = difflib.get_close_matches(part, known, n=3) or known
            where = '.'.join(parents[:depth]) or 'the config'
            raise KeyError(f'--cfg-options {key}: {where} has no key {part!r}; similar or existing keys: '
                           f'{", ".join(similar)}')
        node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
        if not hasattr(node, 'keys') and not isinstance(node, (list, tuple)):
            break  # the option replaces a plain value by something nested
