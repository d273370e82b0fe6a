"""From an official checkpoint of ChangeMamba's MambaBCD to one of the whole model: encoder, decoder and classifier."""
import re

import torch

from mamba_cd_plugin.models.backbones import ARCHS
from mamba_cd_plugin.models.converters.vmamba import (
    BLOCK_PARTS,
    Conversion,
    StateDict,
    convert_state_dict,
    fit,
    listed,
    renamed,
)
from mamba_cd_plugin.models.decode_heads import ChangeMambaHead

LEVELS = 4
# The classifier's two rows become one, and a bias is folded into the norm behind it: not by renaming alone.
CLASSIFIER = ('main_clf.weight', 'main_clf.bias')
JOIN_BIAS = r'decoder\.fuse_layers\.(\d)\.0\.bias'

# Names until 2026 (with which the published checkpoints were saved) -> names since. They count levels from stride 4 up,
# from 1; those of today from stride 32 down, from 0.
ORDERS = {'1': 'cat', '2': 'interleave', '3': 'split'}
OLD_NAMES = (
    (r'decoder\.st_block_(\d)(\d)\.', lambda m: f'decoder.stage_blocks.{LEVELS - int(m[1])}.{ORDERS.get(m[2])}.'),
    (r'decoder\.fuse_layer_(\d)\.', lambda m: f'decoder.fuse_layers.{LEVELS - int(m[1])}.'),
    (r'decoder\.smooth_layer_(\d)\.', lambda m: f'decoder.smooth_layers.{LEVELS - 1 - int(m[1])}.'),
)

# Names since 2026 -> ours, whose levels count from stride 4; the level is put in behind these.
OUR_ORDERS = dict(cat='stacked', interleave='interleaved', split='parallel')
# Of one order: 1x1 convolution, a permutation, the VSS block.
BLOCK = ((r'0\.', r'0.'), *((rf'2\.{re.escape(name)}\.', f'1.{ours}.') for name, ours in BLOCK_PARTS.items()))
JOIN = ((r'0\.', r'conv.'), (r'1\.', r'bn.'))

FORM = ('This reads ChangeMambaBCD (MambaBCD Tiny, Small and Base): encoder, a decoder with three scan orders at each '
        'of four levels, and a classifier of two logits.')


def _today(key: str) -> str:
    """The name since 2026."""
    for pattern, name in OLD_NAMES:
        key, count = re.subn(f'^{pattern}', name, key)
        if count:
            break
    return key


def _rename(key: str) -> str:
    """Our name in the head for a name of today's decoder; '' if it has none."""
    match = re.match(r'decoder\.stage_blocks\.([0-3])\.(cat|interleave|split)\.(.*)', key)
    if match:
        rest = renamed(match[3], BLOCK)
        return rest and f'fusions.{LEVELS - 1 - int(match[1])}.{OUR_ORDERS[match[2]]}.{rest}'
    match = re.match(r'decoder\.fuse_layers\.([0-3])\.(.*)', key)
    if match:
        rest = renamed(match[2], JOIN)
        return rest and f'fusions.{LEVELS - 1 - int(match[1])}.join.{rest}'
    match = re.match(r'decoder\.smooth_layers\.([0-2])\.(.*)', key)
    return f'smoothers.{LEVELS - 2 - int(match[1])}.{match[2]}' if match else ''


def convert_change_mamba(weights: StateDict) -> Conversion:
    """Convert the weights of a whole MambaBCD; every one is used, or an error names it.

    - The classifier's logits of unchanged and changed become the one logit that is their difference.
    - The convolution before each fusion's BatchNorm loses its bias b: the norm's running mean m becomes m - b.

    Args:
        weights: those of ``encoder.*``, ``decoder.*`` and ``main_clf.*``, the decoder under its names since 2026
            (``stage_blocks``) or before (``st_block_41``).

    Raises:
        ValueError: if a weight is left over, missing or of another shape, with its name; or no arch fits.
    """
    encoder = convert_state_dict({key: value for key, value in weights.items() if key.startswith('encoder.')})
    if encoder.fresh:
        raise ValueError(f'the checkpoint lacks what becomes our:{listed(encoder.fresh)}\n{FORM}')
    decoder = [key for key in weights if not key.startswith('encoder.')]
    others = {_today(key): weights[key] for key in decoder}
    if len(others) < len(decoder):
        raise ValueError(f'the checkpoint has decoder weights under the names of two versions of ChangeMamba. {FORM}')
    missing = [key for key in CLASSIFIER if key not in others]
    if missing:
        raise ValueError(f'the checkpoint lacks {" and ".join(missing)}; without --whole, its encoder alone is '
                         f'converted. {FORM}')
    weight, bias = (others.pop(key) for key in CLASSIFIER)
    if weight.dim() != 4 or len(weight) != 2 or bias.shape != (2, ):
        raise ValueError(f'main_clf.weight has shape {tuple(weight.shape)} and main_clf.bias {tuple(bias.shape)}, '
                         f'expected (2, C, 1, 1) and (2, ): unchanged and changed. {FORM}')
    biases = {key: others.pop(key) for key in list(others) if re.fullmatch(JOIN_BIAS, key)}
    left_over = [key for key in others if not _rename(key)]
    if left_over:
        raise ValueError(f'the checkpoint has decoder weights that have no place in ours:{listed(left_over)}\n{FORM}')
    head = {_rename(key): value for key, value in others.items()}
    head.update({'conv_seg.weight': weight[1:] - weight[:1], 'conv_seg.bias': bias[1:] - bias[:1]})

    dims, depths, ssm_ratio = ARCHS[encoder.arch]
    with torch.device('meta'):
        expected = ChangeMambaHead([dims * 2**i for i in range(LEVELS)], weight.size(1), dict(type='BN'),
                                   dict(type='ReLU'), dict(ssm_ratio=ssm_ratio), loss_decode={}).state_dict()
    missing = [key for key in expected if key not in head]
    missing += [f'decoder.fuse_layers.{i}.0.bias' for i in range(LEVELS)
                if f'decoder.fuse_layers.{i}.0.bias' not in biases]
    left_over = [key for key in head if key not in expected]
    if missing or left_over:
        raise ValueError(f'the decoder does not fit the encoder {encoder.arch!r}.\nMissing:'
                         f'{listed(missing) or " none"}\nLeft over:{listed(left_over) or " none"}\n{FORM}')
    head = {key: fit(key, head[key], value, FORM) for key, value in expected.items()}
    for key, value in biases.items():
        mean = f'fusions.{LEVELS - 1 - int(key.split(".")[2])}.join.bn.running_mean'
        head[mean] = head[mean] - fit(key, value, head[mean], FORM)
    state_dict = {**{f'backbone.{key}': value for key, value in encoder.state_dict.items()},
                  **{f'decode_head.{key}': value for key, value in head.items()}}
    return Conversion(encoder.arch, state_dict, [], encoder.fresh, whole=True)
