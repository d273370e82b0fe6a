"""Settings of a config overridden by ``key=value``, with unknown keys refused."""
import argparse
import difflib
import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, DictAction

# Keys that mmengine's Runner reads and a config need not have.
RUNNER_KEYS = {
    'activation_checkpointing', 'auto_scale_lr', 'compile', 'custom_hooks', 'efficient_conv_bn_eval', 'env_cfg',
    'experiment_name', 'find_unused_parameters', 'launcher', 'load_from', 'log_level', 'log_processor',
    'model_wrapper_cfg', 'param_scheduler', 'randomness', 'resume', 'sync_bn', 'visualizer', 'work_dir'
}
# All that a run reads: these, what every config has, and what mmengine's Config and this package read.
READ_KEYS = RUNNER_KEYS | {
    'custom_imports', 'data_preprocessor', 'data_root', 'default_hooks', 'default_scope', 'model', 'optim_wrapper',
    'runner_type', 'test_cfg', 'test_dataloader', 'test_evaluator', 'train_cfg', 'train_dataloader', 'tta_model',
    'tta_pipeline', 'val_cfg', 'val_dataloader', 'val_evaluator'
}
SHOWN = 4  # places in a message
# Where a value, or an element of it, is a dict in Python; braces alone may stand in a name, such as {}.pth.
_DICT = re.compile(r"""(^|[\[(,])\s*(dict\s*\(|\{\s*['"])""")


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
            key, equals, value = word.partition('=')
            if not equals or not key:
                raise argparse.ArgumentError(self, f'expected key=value, got {word!r}')
            if _DICT.search(value):  # mmengine would take it for a word, or cut it at its commas
                raise argparse.ArgumentError(self, f'{word[:80]!r} gives a dict, which cannot be read here. Give each '
                                                   f'of its values a key, such as {key}.name=1, where the config has '
                                                   f'{key}; else write it into a config file')
            one = argparse.Namespace()
            try:
                super().__call__(parser, one, [word], option_string)
            except (AssertionError, ValueError, IndexError, RecursionError) as error:  # as its parser of lists fails
                # It calls itself with the same text where no comma is outside of brackets.
                reason = 'its commas stand in brackets of no list' if isinstance(error, RecursionError) else error
                raise argparse.ArgumentError(self, f'the value of {word[:80]!r} cannot be read: {reason}. Expected a '
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
    """Refuse an override that mmengine would merge silently, and nobody would read.

    That is one whose parent does not exist, or one of a variable of the config file, such as ``max_epochs``: what
    it is for was computed when the file was read.

    Args:
        cfg: the config before the override.
        key: dotted key, such as ``model.decode_head.threshold``. Its last part may be new: many optional arguments are
            not written out in a config, and a part refuses one it does not know.

    Raises:
        KeyError: naming the unknown part and the most similar keys there are, or where the variable's value stands.
    """
    *parents, last = key.split('.')
    top, _, below = key.partition('.')
    # Runner reads a data_preprocessor beside the model only where the model has none.
    if top in cfg and (top not in READ_KEYS or top == 'data_preprocessor' and top in (cfg.get('model') or {})):
        read = {name: node for name, node in cfg.items() if name in READ_KEYS and name != top}
        places = ['.'.join(filter(None, (place, below))) for place in _places(read, cfg[top])][:SHOWN]
        instead = f'; the same value stands in {", ".join(places)}' if places else ''
        raise KeyError(f'--cfg-options {key}: {top} is a variable of the config file, which was put where it is needed '
                       f'when the file was read, so that no run would notice. Set the keys that it is for{instead}. '
                       'What code of your own reads, change in the config file')
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


def _places(node: Any, value: Any, path: str = '') -> Iterator[str]:
    """Dotted keys of what equals a value; nothing below them."""
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
        place = f'{path}.{key}' if path else str(key)
        if type(inner) is type(value) and inner == value:
            yield place
        elif isinstance(inner, (dict, list, tuple)):
            yield from _places(inner, value, place)
