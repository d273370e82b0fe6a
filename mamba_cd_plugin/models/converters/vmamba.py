"""From an official VMamba v2 or ChangeMamba checkpoint to one of :class:`SiameseVSSM`."""
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from mamba_cd_plugin.models.backbones import ARCHS, SiameseVSSM
from mamba_cd_plugin.models.layers import NUM_DIRECTIONS

StateDict = dict[str, Tensor]

# What stands before the encoder's keys: nothing in VMamba's classification checkpoints, 'encoder.' in ChangeMamba's,
# 'backbone.' in those of VMamba's detection and segmentation.
PREFIXES = ('', 'encoder.', 'backbone.')

# VMamba's classifier with the norm before it (under the older of two spellings for the last two).
CLASSIFIER_KEYS = ('classifier.', 'norm.', 'head.')

# The parts of a VSS block: VMamba's names -> ours.
BLOCK_PARTS = {'norm': 'norm1', 'op': 'ss2d', 'norm2': 'norm2', 'mlp.fc1': 'mlp.0', 'mlp.fc2': 'mlp.2'}

# VMamba's names -> ours.
RENAMES = (
    (r'patch_embed\.0\.', r'stem.0.'),
    (r'patch_embed\.2\.', r'stem.1.'),
    (r'patch_embed\.5\.', r'stem.3.'),
    (r'patch_embed\.7\.', r'stem.4.'),
    (r'layers\.(\d+)\.downsample\.1\.', r'downsamples.\1.0.'),
    (r'layers\.(\d+)\.downsample\.3\.', r'downsamples.\1.1.'),
    *((rf'layers\.(\d+)\.blocks\.(\d+)\.{re.escape(name)}\.', rf'stages.\1.\2.{ours}.')
      for name, ours in BLOCK_PARTS.items()),
    (r'outnorm(\d+)\.', r'out_norms.\1.'),
)

FORM = ('This reads VMamba v2 in the v05_noz form: stem of two convolutions, d_state 1, no gate z, mlp_ratio 4, '
        'convolutions between the stages.')


class Conversion(NamedTuple):
    """A converted checkpoint.

    Attributes:
        arch: row of the arch table that it fits.
        state_dict: the weights under our names.
        dropped: kinds of weights that were left out since they are not the encoder's, as 'classifier (4)'.
        fresh: weights that the checkpoint does not have and that hold their start values.
        whole: whether it is a whole model, not the encoder alone.
    """
    arch: str
    state_dict: StateDict
    dropped: list[str]
    fresh: list[str]
    whole: bool = False

    def describe(self) -> str:
        """Summary of the conversion, one fact per line."""
        kind = 'weights of encoder and decoder' if self.whole else 'encoder weights'
        lines = [f'arch {self.arch!r}, {len(self.state_dict) - len(self.fresh)} {kind} converted']
        if self.dropped:
            lines.append(f'left out, not part of the encoder: {", ".join(self.dropped)}')
        if self.fresh:
            lines.append(f"not in the checkpoint, start as LayerNorm does, with 1 and 0: {', '.join(self.fresh)}")
        return '\n'.join(lines)


def listed(names: Iterable[str]) -> str:
    """Names, each on a line of its own."""
    return ''.join(f'\n  {name}' for name in names)


def unwrap(checkpoint: Mapping) -> StateDict:
    """The weights of a checkpoint, under ``model`` (VMamba), ``state_dict`` (mmengine) or plain (ChangeMamba).

    Raises:
        ValueError: if there are no weights.
    """
    entries = checkpoint if isinstance(checkpoint, Mapping) else {}
    entries = next((entries[key] for key in ('model', 'state_dict') if isinstance(entries.get(key), Mapping)), entries)
    weights = {key: value for key, value in entries.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f'the checkpoint holds no named weights, but {type(checkpoint).__name__} '
                         f'{list(map(str, entries))[:10]}; expected a state dict, plain or under the key '
                         "'model' or 'state_dict'")
    return weights


def _split_encoder(weights: StateDict) -> tuple[StateDict, list[str]]:
    """The encoder's weights without prefix, and the names of all others."""
    for prefix in PREFIXES:
        if any(key.startswith(f'{prefix}patch_embed.') for key in weights):
            break
    else:
        raise ValueError('the checkpoint has no weights under patch_embed, encoder.patch_embed or '
                         f'backbone.patch_embed; its first keys are {list(weights)[:5]}. {FORM}')
    inside = {key[len(prefix):]: value for key, value in weights.items() if key.startswith(prefix)}
    encoder = {key: value for key, value in inside.items() if not key.startswith(CLASSIFIER_KEYS)}
    others = [key for key in weights if not key.startswith(prefix) or key[len(prefix):].startswith(CLASSIFIER_KEYS)]
    counts = Counter(key.split('.')[0] for key in others)
    return encoder, [f'{name} ({count})' for name, count in counts.items()]


def renamed(key: str, names: Sequence[tuple[str, str]]) -> str:
    """Our name for another's, by the first pattern at its beginning; '' if it has none."""
    for pattern, name in names:
        ours, count = re.subn(f'^{pattern}', name, key)
        if count:
            return ours
    return ''


def _rename_all(encoder: StateDict) -> StateDict:
    ours = {key: renamed(key, RENAMES) for key in encoder}
    left_over = [key for key, name in ours.items() if not name]
    if left_over:
        raise ValueError(f'the checkpoint has encoder weights that have no place in ours:{listed(left_over)}\n{FORM}')
    return {name: encoder[key] for key, name in ours.items()}


def recognise_arch(weights: StateDict) -> str:
    """The row of the arch table that the shapes belong to.

    Args:
        weights: under our names.

    Raises:
        ValueError: if no row fits, with the numbers found.
    """
    needed = ('stem.3.weight', 'stages.0.0.ss2d.Ds')
    missing = [key for key in needed if key not in weights]
    if missing:
        raise ValueError(f'the checkpoint lacks what becomes our {" and ".join(missing)}. {FORM}')
    dims = weights[needed[0]].size(0)
    ssm_ratio = weights[needed[1]].numel() / NUM_DIRECTIONS / dims
    blocks = {tuple(map(int, key.split('.')[1:3])) for key in weights if key.startswith('stages.')}
    stages = range(1 + max(stage for stage, _ in blocks))
    depths = tuple(1 + max((block for s, block in blocks if s == stage), default=-1) for stage in stages)
    for name, (row_dims, row_depths, row_ratio) in ARCHS.items():
        if (dims, depths, ssm_ratio) == (row_dims, tuple(row_depths), row_ratio):
            return name
    rows = listed(f'{name}: embed_dims {d}, depths {tuple(n)}, ssm_ratio {r}' for name, (d, n, r) in ARCHS.items())
    raise ValueError(f'no arch of SiameseVSSM has embed_dims {dims}, depths {depths} and ssm_ratio {ssm_ratio:g}, as '
                     f'the checkpoint does; there are:{rows}')


def fit(name: str, weight: Tensor, expected: Tensor, form: str = FORM) -> Tensor:
    """The weight as ours is laid out; VMamba's channels-first form stores linear layers like 1x1 convolutions.

    Args:
        name: name in the error.
        weight: the checkpoint's.
        expected: our weight, for its shape and type.
        form: description of the expected checkpoint, for the error.

    Raises:
        ValueError: if the shape is another, or a number is not finite.
    """
    if weight.dim() == 4 and expected.dim() == 2 and weight.shape[2:] == (1, 1):
        weight = weight.flatten(1)
    if weight.shape != expected.shape:
        raise ValueError(f'{name} has shape {tuple(weight.shape)}, expected {tuple(expected.shape)}. {form}')
    weight = weight.to(expected.dtype)
    if not weight.isfinite().all():
        raise ValueError(f'{name} holds NaN or infinity: the checkpoint is damaged, or its training diverged')
    return weight.contiguous()


def convert_state_dict(weights: StateDict) -> Conversion:
    """Convert the weights of an official checkpoint.

    A classification checkpoint has no norms behind the levels (VMamba's own dense models start them fresh): ours then
    hold LayerNorm's start values, and are named in ``fresh``.

    Args:
        weights: those of VMamba (``patch_embed.*``, ``layers.*``, ``classifier.*``), its dense models or ChangeMamba's
            (``backbone.*`` or ``encoder.*`` with ``outnorm*``).

    Raises:
        ValueError: if an encoder weight is left over, missing or of another shape, with its name; or no arch fits.
    """
    encoder, dropped = _split_encoder(weights)
    found = _rename_all(encoder)
    arch = recognise_arch(found)
    expected = SiameseVSSM(arch).state_dict()
    fresh = [] if any(key.startswith('out_norms.') for key in found) else \
        [key for key in expected if key.startswith('out_norms.')]
    missing = [key for key in expected if key not in found and key not in fresh]
    left_over = [key for key in found if key not in expected]
    if missing or left_over:
        raise ValueError(f'the checkpoint looks like {arch!r}, but does not fit it (names are ours).\n'
                         f'Missing:{listed(missing) or " none"}\nLeft over:{listed(left_over) or " none"}\n{FORM}')
    state_dict = {key: fit(key, found.get(key, value), value) for key, value in expected.items()}
    return Conversion(arch, state_dict, dropped, fresh)
