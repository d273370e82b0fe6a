"""Reading the config text inside a checkpoint without running it."""
import ast
from collections.abc import Iterator
from typing import Any

from mmengine.config import ConfigDict
from mmseg.registry import MODELS, TASK_UTILS, WEIGHT_INITIALIZERS

# What a text may become when it is read from a file of unknown origin.
Value = Any
# No size of a model here comes near it, and a list of so many numbers is still no burden.
LARGEST = 1 << 20
# Endings that mmengine.fileio.load, which some losses call on a string, would unpickle.
PICKLE_SUFFIXES = ('.pkl', '.pickle')


def parse_config_text(text: str, source: str) -> ConfigDict:
    """Parse the output of ``Config.pretty_text``: assignments of plain values, lists, tuples and dicts.

    mmengine's ``Config.fromstring`` runs the text as Python. A checkpoint carries such a text, and whoever made the
    checkpoint would run code here with one line in it.

    Args:
        text: The text of a config.
        source: Where it is from, for the error.

    Raises:
        ValueError: If there is anything in it but plain values.
    """
    try:
        tree = ast.parse(text)
        return ConfigDict({_target(statement): _value(statement.value) for statement in tree.body})  # type: ignore[attr-defined]  # _target lets only assignments through
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(
            f'{source}: the config text inside was refused: {error}. Expected only assignments of plain values, as '
            'mmengine writes them; anything else could run code. Name a config file of your own instead.') from error


def _target(statement: ast.stmt) -> str:
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1 or \
            not isinstance(statement.targets[0], ast.Name):
        raise ValueError(f'line {statement.lineno} is a {type(statement).__name__}, not an assignment to a name')
    return statement.targets[0].id


def _value(node: ast.expr) -> Value:
    """A literal, or a call of ``dict`` with keywords or one literal dict."""
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict') or len(node.args) > 1:
            raise ValueError(f'line {node.lineno} calls {ast.unparse(node.func)}')
        pairs = _value(node.args[0]) if node.args else {}
        return {**pairs, **{keyword.arg: _value(keyword.value) for keyword in node.keywords}}
    return ast.literal_eval(node)


def untrusted_model_config(cfg: ConfigDict, source: str) -> ConfigDict:
    """The ``model`` of a config of unknown origin, made safe to build; nothing is imported to find out.

    mmengine builds ``dict(type='subprocess.Popen', ...)`` too, by importing it, and some of mmseg's parts read a file
    that an argument names. So every type must be registered already, and no argument may name a file. Pretrained
    weights, which the checkpoint's own replace anyway, are left out.

    Args:
        cfg: The whole config.
        source: Where it is from, for the error.

    Raises:
        ValueError: If there is no model, a type is not registered, or an argument names a file.
    """
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(f"{source}: the config text inside has no 'model'; name a config file of your own instead")
    model = _without_pretrained(cfg.model)
    for key, value in _leaves(model):
        if isinstance(value, int):
            if abs(value) > LARGEST:
                raise ValueError(f'{source}: the config text inside sets {key} = {str(value)[:30]}, more than any '
                                 f'model needs ({LARGEST:,}). Name a config file of your own instead.')
        elif key in ('type', '_scope_'):
            if not is_registered(value) and key == 'type':
                raise ValueError(
                    f'{source}: the config text inside asks for {value!r}, which no imported package registers. Is it '
                    'a part of your own, name the config in its work dir, whose custom_imports import it (--config, or '
                    'the argument config in Python); if the checkpoint is from others, do not use it.')
            if key == '_scope_' and value not in _scopes():
                raise ValueError(f'{source}: the config text inside asks for the scope {value!r}, which is unknown')
        elif '/' in value or '\\' in value or value.endswith(PICKLE_SUFFIXES):
            raise ValueError(f'{source}: the config text inside names the file {key} = {value!r}, which is not read '
                             'from a checkpoint of unknown origin. Name a config file of your own instead.')
    return model


def _without_pretrained(node: Value) -> Value:
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if key != 'pretrained' and not _is_pretrained(value)}
        return ConfigDict({key: _without_pretrained(value) for key, value in kept.items()})
    return type(node)(map(_without_pretrained, node)) if isinstance(node, (list, tuple)) else node


def _is_pretrained(value: Value) -> bool:
    return isinstance(value, dict) and value.get('type') == 'Pretrained'


def _leaves(node: Value, key: str = '') -> Iterator[tuple[str, Value]]:
    """Every string and whole number below a node, each with its key."""
    if isinstance(node, (str, int)):
        yield key, node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _leaves(value, name)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _leaves(value, key)


def is_registered(name: str) -> bool:
    """Whether a type is registered; unlike ``name in MODELS`` this never imports what the name says."""
    MODELS.import_from_location()
    scope, _, plain = name.rpartition('.')
    return any(plain in registry.module_dict for registry in _registries() if scope in ('', registry.scope))


def _scopes() -> set:
    return {registry.scope for registry in _registries()}


def _registries() -> list:
    return [registry for own in (MODELS, TASK_UTILS, WEIGHT_INITIALIZERS) for registry in (own, own.parent)
            if registry is not None]
