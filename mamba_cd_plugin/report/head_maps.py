"""What the decode head does inside: the gates of its AFFs and the maps of its edge branches, by forward hooks."""
import re
from contextlib import contextmanager
from typing import Callable, Iterator, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..models.decode_heads.aff import AttentionalFeatureFusion
from ..models.decode_heads.edges.dog_edge import DoGEdge
from ..models.decode_heads.edges.laplacian_edge import LaplacianMap

GATE, EDGE = 'gate', 'edge'


class HeadMap(NamedTuple):
    """A map of one part of the head for one pair.

    Attributes:
        kind: 'gate': the weight of the trunk, mean over the channels; 'edge': the strength of the edge response, mean
            of its absolute value over the channels.
        part: Where it is, in words.
        values: (h, w) float32, at the resolution of the part.
        neutral: Of a gate the weight at which trunk and branch count alike; of an edge map 0.
    """
    kind: str
    part: str
    values: np.ndarray
    neutral: float


def part_name(path: str) -> str:
    """A module's path in the head in words, such as 'level 4' for ``levels.3.fusion``."""
    level = re.match(r'levels\.(\d+)\.', path)
    if level:
        inside = ' skip' if '.skip.' in path else ''
        return f'level {int(level.group(1)) + 1}{inside}'
    if path.startswith('image_edge'):
        return {'edge_a': 'image A', 'edge_b': 'image B'}.get(path.rpartition('.')[2], 'images')
    return path.replace('.fusions.', ' ').replace('.', ' ')


def watched_parts(head: nn.Module) -> Iterator[tuple[str, str, nn.Module, nn.Module]]:
    """Kind, path, the part, and the module inside of it whose output is its map; the deepest level first."""
    for path, module in reversed(list(head.named_modules())):
        if isinstance(module, AttentionalFeatureFusion):
            yield GATE, path, module, module.attention
        elif isinstance(module, DoGEdge):
            yield EDGE, path, module, module.dog
        elif isinstance(module, LaplacianMap):
            yield EDGE, path, module, module


@contextmanager
def watch(model: nn.Module) -> Iterator[dict[str, HeadMap]]:
    """While this is open, a forward pass of one pair puts its maps into the dict, by path; nothing else changes.

    A model without such parts leaves the dict empty.
    """
    maps: dict[str, HeadMap] = {}

    def keeper(kind: str, path: str, part: nn.Module) -> Callable[[nn.Module, tuple, Tensor], None]:
        def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            maps[path] = _to_map(kind, path, part, output[0])
        return keep

    handles = [source.register_forward_hook(keeper(kind, path, part))
               for kind, path, part, source in watched_parts(model.decode_head)]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _to_map(kind: str, path: str, part: nn.Module, output: Tensor) -> HeadMap:
    """One (C, h, w) output to a map."""
    output = output.detach().float()
    if kind == EDGE:
        return HeadMap(kind, part_name(path), output.abs().mean(dim=0).cpu().numpy(), 0.)
    weight = part.gate(output)[0].mean(dim=0)
    # The two weights sum to 1 or 2; the trunk's share is half of that where neither is preferred.
    neutral = float(sum(part.gate(torch.zeros(1)))) / 2
    return HeadMap(kind, part_name(path), weight.cpu().numpy(), neutral)


@torch.inference_mode()
def head_maps(model: nn.Module, pair: np.ndarray) -> list[HeadMap]:
    """The maps of one pair.

    Args:
        model: An mmseg segmentor in evaluation mode.
        pair: uint8 RGB (H, W, 6), A first.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(pair.transpose(2, 0, 1)))
    inputs = model.data_preprocessor(dict(inputs=[tensor]), False)['inputs']
    with watch(model) as maps:
        model.encode_decode(inputs, [dict(img_shape=pair.shape[:2])])
    return [maps[path] for _, path, *_ in watched_parts(model.decode_head) if path in maps]
