"""Checkpoints, exported models, settings and lists drawn by hypothesis from what they may contain."""
import copy
import io
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .mutations import NUMBERS

WORDS = st.sampled_from(
    ['model', 'type', 'os.system', 'A', 'x.png', '../..', '/', '\0', '', 'label', '__class__', 'ä'])


def list_files() -> SearchStrategy[bytes]:
    """Lists of names in any encoding."""
    names = st.one_of(
        st.sampled_from(['a', 'train/A/a.png', 'A/a.png B/a.png label/a.png', 'b.tif', '# b', '', 'c,c', '..']),
        st.text(max_size=30), WORDS)
    ends = st.sampled_from(['\n', '\r\n', '\r', '\n\n', ' ', '\u2028'])
    text = st.builds(lambda lines, end: end.join(lines), st.lists(names, max_size=12), ends)
    encoded = st.builds(
        lambda text, encoding: text.encode(encoding, 'surrogatepass' if 'utf' in encoding else 'replace'), text,
        st.sampled_from(
            ['utf-8', 'utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'latin-1', 'utf-32', 'cp1252']))
    return st.one_of(encoded, encoded, st.binary(max_size=80))


def tensors() -> SearchStrategy[torch.Tensor]:
    """Tensors of all layouts that a file may hold."""

    def build(shape: list[int], dtype: torch.dtype, layout: str) -> torch.Tensor:
        tensor = torch.zeros(shape).to(dtype)
        if layout == 'meta':
            return tensor.to('meta')
        if layout == 'sparse' and shape and not dtype.is_complex:
            return tensor.to_sparse()
        if layout == 'expanded':
            return torch.zeros(1).to(dtype).expand(1 << 34)
        if layout == 'nan' and dtype.is_floating_point:
            return torch.full_like(tensor, float('nan'))
        return tensor.t() if layout == 'turned' and len(shape) == 2 else tensor

    return st.builds(
        build, st.lists(st.integers(0, 9), max_size=5),
        st.sampled_from([
            torch.float32, torch.float32, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool,
            torch.complex64
        ]), st.sampled_from(['plain', 'plain', 'sparse', 'meta', 'expanded', 'nan', 'turned']))


def plain_values() -> SearchStrategy[Any]:
    """What a checkpoint may hold besides tensors, nested."""
    leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), WORDS,
                     st.binary(max_size=8), tensors())
    return st.recursive(leaf,
                        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3),
                                                st.tuples(inner, inner)),
                        max_leaves=6)


def _of_other_layout(tensor: torch.Tensor, which: int) -> torch.Tensor:
    if which == 0 and tensor.dim():
        return tensor.to_sparse()
    if which == 1:
        return tensor.to('meta')
    return tensor[..., :1] if which == 2 and tensor.dim() else tensor * float('nan')


def checkpoint_files(checkpoint: dict) -> SearchStrategy[bytes]:
    """Checkpoints like the given one with other weights, other contents and another config text.

    Args:
        checkpoint: A valid one, with ``meta`` (``cfg``) and ``state_dict``.
    """
    names = list(checkpoint['state_dict'])
    text = checkpoint['meta']['cfg']

    def build(weights: list, meta: Any, cfg: str, top: dict, form: bool) -> bytes:
        state = dict(checkpoint['state_dict'])
        for index, how, value in weights:
            name = names[index % len(names)]
            old = state.get(name)
            if how == 'missing' or old is None:
                state.pop(name, None)
            elif how == 'other':
                state[name] = value
            elif how == 'cast':
                state[name] = old.to(value.dtype) if isinstance(value, torch.Tensor) else old.bool()
            elif how == 'layout':
                state[name] = _of_other_layout(old, index % 4)
            else:
                state[f'{name}.{value}'[:60]] = old
        content = dict(checkpoint, state_dict=state, meta=dict(checkpoint['meta'], cfg=cfg), **top)
        if meta is not None:
            content['meta'] = meta
        target = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about layouts that are in beta, says torch
            torch.save(content, target, _use_new_zipfile_serialization=form)
        return target.getvalue()

    change = st.tuples(st.integers(0, 10**6), st.sampled_from(['missing', 'other', 'cast', 'layout', 'more']),
                       st.one_of(tensors(), tensors(), plain_values()))
    return st.builds(
        build, st.lists(change, max_size=2), st.one_of(*[st.none()] * 5, plain_values()), config_texts(text),
        st.one_of(st.just({}), st.just({}),
                  st.dictionaries(st.sampled_from(['optimizer', 'message_hub', 'x']), plain_values(), max_size=1)),
        st.sampled_from([True, True, True, False]))


def config_texts(text: str) -> SearchStrategy[str]:
    """A config text with numbers, words and whole lines replaced, half of them left as they are."""
    tokens = re.split(r'(\b\d[\d.e-]*\b|\'[^\'\n]*\'|True|False|None)', text)
    # Odd places hold what the pattern found.
    values = st.one_of(st.integers(-2, 70), st.sampled_from(NUMBERS), st.floats()).map(repr)
    hostile = st.sampled_from([
        'None', 'True', "'subprocess.Popen'", "'Pretrained'", "'/etc/passwd'", "'x.pkl'", '[]', '{}', '()', '(1, ',
        'dict(a=1)', 'dict(**{})', '__import__("os").system("touch RAN")', 'f"{1}"', '[0] * 9', '-1', '1e999',
        '9' * 5000, '(' * 300, '{**{}}', '{1: 2}', '"\\0"', "'mmseg.'", "'BN'", 'b"x"', '10 ** 10', '...', '1j'
    ])
    change = st.tuples(st.integers(0, len(tokens) // 2 - 1), st.one_of(values, hostile, st.text(max_size=6).map(repr)))

    def build(changes: list[tuple[int, str]]) -> str:
        changed = list(tokens)
        for index, value in changes:
            changed[2 * index + 1] = value
        return ''.join(changed)

    return st.one_of(st.just(text),
                     st.lists(change, min_size=1, max_size=3).map(build),
                     st.builds(lambda line: f'{text}\n{line}\n', hostile), st.text(max_size=60))


def json_values() -> SearchStrategy[Any]:
    """What JSON may hold, nested."""
    return st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), WORDS),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=2)),
        max_leaves=5)


def safetensors_files(content: bytes) -> SearchStrategy[bytes]:
    """Files of weights like the given one whose header says something else.

    Args:
        content: Content of a valid file.
    """
    length = int.from_bytes(content[:8], 'little')
    header, data = json.loads(content[8:8 + length]), content[8 + length:]
    names = list(header)

    def build(changes: list, size: int) -> bytes:
        new = copy.deepcopy(header)
        for index, key, value in changes:
            name = names[index % len(names)]
            entry = new.get(name)
            if key == 'missing':
                new.pop(name, None)
            elif key == 'whole' or not isinstance(entry, dict):
                new[name] = value
            else:
                entry[list(entry)[0] if name == '__metadata__' else key] = value
        text = json.dumps(new).encode()
        return (len(text) + size).to_bytes(8, 'little') + text + data

    value = st.one_of(json_values(), st.sampled_from(['F16', 'BF16', 'I64', 'BOOL', 'F8_E4M3', 'C64']),
                      st.lists(st.integers(-2, 2**65), max_size=5))
    key = st.sampled_from(['missing', 'whole', 'dtype', 'shape', 'data_offsets'])
    change = st.tuples(st.integers(0, 10**6), key, value)
    return st.builds(build, st.lists(change, min_size=1, max_size=2), st.sampled_from([0] * 8 + [1, 2**40]))


def onnx_files(seed: bytes, key: str) -> SearchStrategy[bytes]:
    """ONNX files with other properties, shapes, attributes and wiring.

    Args:
        seed: A valid file.
        key: Name of the property in which our export says how the model is used.
    """
    import onnx
    field = st.sampled_from(['threshold', 'side', 'multiple', 'fill', 'version'])

    def build(fields: dict, dropped: list, whole: Any, steps: list) -> bytes:
        model = onnx.load_from_string(seed)
        found = next(each for each in model.metadata_props if each.key == key)
        properties = json.loads(found.value)
        properties.update(fields)
        for name in dropped:
            properties.pop(name, None)
        found.value = json.dumps(properties) if whole is None else str(whole)[:200]
        for how, index, number in steps:
            _change_graph(model, how, index, number)
        return model.SerializeToString()

    whole = st.one_of(*[st.none()] * 5, st.text(st.characters(codec='utf-8'), max_size=20),
                      json_values().map(json.dumps))
    step = st.tuples(
        st.sampled_from(['shape', 'data', 'attribute', 'input', 'output', 'operator', 'node', 'opset', 'dtype']),
        st.integers(0, 10**6), st.one_of(st.integers(-3, 70), st.sampled_from(NUMBERS[:15])))
    return st.builds(build, st.dictionaries(field, st.one_of(st.integers(-2, 300), json_values()), max_size=2),
                     st.lists(field, max_size=1), whole, st.lists(step, max_size=2))


def _change_graph(model: Any, how: str, index: int, number: int) -> None:
    graph = model.graph
    node = graph.node[index % len(graph.node)]
    if how in ('shape', 'data', 'dtype') and graph.initializer:
        weight = graph.initializer[index % len(graph.initializer)]
        if how == 'shape' and weight.dims:
            weight.dims[number % len(weight.dims)] = number
        elif how == 'dtype':
            weight.data_type = number % 20
        else:
            weight.raw_data = weight.raw_data[:number % 50] * (index % 3)
    elif how == 'attribute' and node.attribute:
        attribute = node.attribute[index % len(node.attribute)]
        attribute.i = number
        if attribute.ints:
            attribute.ints[number % len(attribute.ints)] = number
    elif how == 'input' and node.input:
        node.input[number % len(node.input)] = graph.node[number % len(graph.node)].output[0]
    elif how == 'output':
        shape = graph.output[0].type.tensor_type.shape
        if shape.dim:
            shape.dim[number % len(shape.dim)].dim_value = number
    elif how == 'operator':
        node.op_type = ('Loop', 'If', 'Scan', 'ConstantOfShape', 'Expand', 'Tile', 'Nothing', 'Range')[number % 8]
    elif how == 'node':
        del graph.node[index % len(graph.node)]
    elif how == 'opset':
        model.opset_import[0].version = number


def option_words(keys: Sequence[str]) -> SearchStrategy[bytes]:
    """What may follow ``--cfg-options``, one ``key=value`` a line.

    Args:
        keys: Dotted keys that there are.
    """

    def misspell(key: str, place: int, letter: str) -> str:
        place %= len(key)
        return key[:place] + letter + key[place + 1:]

    known = st.sampled_from(list(keys))
    letters = st.characters(codec='utf-8', exclude_categories=('Cc', 'Cs'))
    key = st.one_of(known, known, st.builds(misspell, known, st.integers(0, 80), letters), st.text(letters,
                                                                                                   max_size=12), WORDS,
                    st.builds('{}.{}'.format, known, WORDS))
    value = st.one_of(
        st.integers().map(str),
        st.floats().map(str), st.text(letters, max_size=10), WORDS,
        st.sampled_from([
            '[1,2', '(((', '[' * 200, "{'a':1}", 'None', 'True', '"a', 'a=b', '[a,[b,c]]', '()', '[]', ',', '9' * 5000,
            '1e400', '__import__("os").system("touch RAN")', '{{_base_.x}}', '$HOME', '\\'
        ]))
    word = st.one_of(st.builds('{}={}'.format, key, value), st.builds('{}={}'.format, key, value),
                     st.text(letters, max_size=8))
    return st.lists(word.map(lambda word: word.replace('\n', ' ')), min_size=1,
                    max_size=3).map(lambda words: '\n'.join(words).encode('utf-8', 'surrogatepass'))
