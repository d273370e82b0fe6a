"""The siamese VMamba encoder."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule, PretrainedInit
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS
from torch import Tensor, nn

from mamba_cd_plugin.models.layers import LN2d, VSSBlock
from mamba_cd_plugin.models.structures import BitemporalFeatures

CONVERTER = 'python tools/model_converters/vmamba.py'
VMAMBA_WEIGHTS = ('Download the official VMamba checkpoint (its README lists them under "Classification on '
                  f'ImageNet-1K") and convert it: {CONVERTER} OFFICIAL.pth {{path}}')
# More names than this do not help to see what kind of file it is.
MAX_NAMES = 8


def _read(path: str, prefix: str | None, source: str) -> dict[str, Tensor]:
    """The weights that mmengine's PretrainedInit would give to the module."""
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(f'the pretrained weights {path} do not exist. {source.format(path=path)}')
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    weights = {key.removeprefix('module.'): value for key, value in checkpoint.get('state_dict', checkpoint).items()}
    if prefix is None:
        return weights
    prefix = prefix.rstrip('.') + '.'
    return {key[len(prefix):]: value for key, value in weights.items() if key.startswith(prefix)}


def _listed(names: list) -> str:
    more = f', and {len(names) - MAX_NAMES} more' if len(names) > MAX_NAMES else ''
    return ', '.join(names[:MAX_NAMES]) + more


def check_pretrained(module: BaseModule, source: str = VMAMBA_WEIGHTS, unread: Sequence[str] = ()) -> None:
    """Check that each checkpoint of type ``Pretrained`` in ``init_cfg`` holds exactly this module's parameters.

    The counters of BatchNorm, which older checkpoints lack, may be missing.

    Args:
        module: a module before its ``init_weights``.
        source: where to get the weights, for the error message; ``{path}`` stands for the file.
        unread: prefixes of what the checkpoint may have besides, such as a classifier.

    Raises:
        FileNotFoundError: if a checkpoint does not exist.
        ValueError: if a parameter is missing, left over or of another shape, with its name.
    """
    cfgs = [module.init_cfg] if isinstance(module.init_cfg, dict) else module.init_cfg or []
    for cfg in cfgs:
        if cfg['type'] not in ('Pretrained', PretrainedInit):
            continue
        found, expected = _read(cfg['checkpoint'], cfg.get('prefix'), source), module.state_dict()
        if any('patch_embed.' in key for key in found):
            raise ValueError(f"{cfg['checkpoint']} has VMamba's own names; convert it first: "
                             f"{CONVERTER} {cfg['checkpoint']} CONVERTED.pth")
        reshaped = [f'{key} {tuple(found[key].shape)} instead of {tuple(value.shape)}'
                    for key, value in expected.items() if key in found and found[key].shape != value.shape]
        problems = dict(missing=[key for key in expected
                                 if key not in found and not key.endswith('num_batches_tracked')],
                        unknown=[key for key in found if key not in expected and not key.startswith(tuple(unread))],
                        reshaped=reshaped)
        if any(problems.values()):
            details = '; '.join(f'{kind}: {_listed(names)}' for kind, names in problems.items() if names)
            raise ValueError(f"the pretrained weights {cfg['checkpoint']} do not fit {type(module).__name__}: "
                             f'{details}. Choose the arch they were converted for (the converter names it), or the '
                             'prefix under which they lie')


# name: embed_dims, depths, ssm_ratio. Level i has embed_dims * 2^i channels.
ARCHS = {
    # The diary's encoder (V1 to V8).
    'cdmamba': (64, (2, 2, 8, 2), 1.0),
    # For work on a CPU: trains in minutes, under 5 M parameters with neck and head.
    'small': (24, (1, 1, 2, 1), 1.0),
    # For tests.
    'toy': (16, (1, 1, 1, 1), 1.0),
    # The official VMamba v2 sizes (d_state 1, v05_noz), for their ImageNet checkpoints.
    'vmamba_t_s1l8': (96, (2, 2, 8, 2), 1.0),
    'vmamba_t_s2l5': (96, (2, 2, 5, 2), 2.0),
    'vmamba_s_s2l15': (96, (2, 2, 15, 2), 2.0),
    'vmamba_s_s1l20': (96, (2, 2, 20, 2), 1.0),
    'vmamba_b_s2l15': (128, (2, 2, 15, 2), 2.0),
    'vmamba_b_s1l20': (128, (2, 2, 20, 2), 1.0),
    # The encoder of ChangeMamba's MambaBCD-Tiny; its Small and Base have VMamba's s2l15.
    'changemamba_t': (96, (2, 2, 4, 2), 2.0),
}


def reflected(size: int, length: int, device: torch.device | None = None) -> Tensor:
    """The pixels 0 to ``length - 1`` of an axis of ``size`` pixels that is reflected at its ends as often as needed.

    For 3 pixels: 0 1 2 1 0 1 2 1 ... (numpy's ``np.pad(mode='reflect')``); one pixel alone is repeated.
    """
    if size == 1:
        return torch.zeros(length, dtype=torch.long, device=device)
    last = size - 1
    return last - (torch.arange(length, device=device) % (2 * last) - last).abs()


def pad_by_reflection(images: Tensor, multiple: int) -> Tensor:
    """Extend images to the right and downwards by their own reflection, so that every pixel stays where it is.

    torch's reflection refuses to add as many pixels as there are, which a small image needs.

    Args:
        images: (N, C, H, W), of any size.
        multiple: divisor of both sides afterwards. Where it divides them already, the tensor itself is returned.
    """
    for axis in (2, 3):
        size = images.shape[axis]
        if size % multiple:
            length = size + -size % multiple
            images = images.index_select(axis, reflected(size, length, images.device))
    return images


def split_pair(encoder: nn.Module, inputs: Tensor, later: Tensor | None) -> tuple[Tensor, Tensor]:
    """The two images of a pair, which an encoder takes as one tensor of six channels or as two of three.

    Raises:
        ValueError: if they are not two RGB images of the same shape.
    """
    name = type(encoder).__name__
    if later is None:
        if inputs.size(1) != 6:
            raise ValueError(f'{name}: got an input of shape {tuple(inputs.shape)}, expected (N, 6, H, W) '
                             'with the earlier RGB image in channels 0-2 and the later in 3-5 (LoadImagePair '
                             'gives that), or two (N, 3, H, W) tensors')
        inputs, later = inputs.chunk(2, dim=1)
    if inputs.shape != later.shape or inputs.size(1) != 3:
        raise ValueError(f'{name}: got images of shapes {tuple(inputs.shape)} and {tuple(later.shape)}, '
                         'expected two of the same shape (N, 3, H, W)')
    return inputs, later


@MODELS.register_module()
class SiameseVSSM(BaseModule):
    """VMamba encoder with shared weights for the two dates, which run as one batch of 2N.

    ::

        (N, 6, H, W) -> A, B as (2N, 3, H, W) -> stem -> stage 1 -> stage 2 -> stage 3 -> stage 4
                                                            |          |          |          |
        stride                                              4          8          16         32
        channels                                            d          2d         4d         8d

    Images of any size are first extended by reflection to multiples of the total stride: each level then has exactly
    half the pixels of the one before, and no pixel of a level lies between those of another. The head cuts its output
    back to the size of the input. A resize to the next size that fits would shift and squeeze the picture instead,
    which costs up to 3 F1 on windows of odd size.

    Its norms are VMamba's LayerNorms in every version, so that official ImageNet weights fit each of them.

    Source: VMamba, arXiv 2401.10166, the ``v05_noz`` form: stem of two 3x3 stride-2 convolutions, 3x3 stride-2
    convolution and LN between the stages, no gate.

    Args:
        arch: a row of ``ARCHS``, or a dict with the keys ``embed_dims``, ``depths`` and ``ssm_ratio``.
        embed_dims: channels d of the first level, instead of the row's.
        d_state: states per channel of the scan.
        mlp_ratio: hidden channels of each MLP / its channels.
        drop_path_rate: drop probability of the last block; rises linearly from 0 at the first.
        scan_backend: backend of the selective scan (``mamba_cd_plugin.ops``).
        init_cfg: mmengine's init config; ``dict(type='Pretrained', checkpoint=...)`` loads converted VMamba weights.

    Raises:
        ValueError: if ``arch`` is not in the table, or an input does not hold two RGB images.
    """

    def __init__(self,
                 arch: str | dict = 'cdmamba',
                 embed_dims: int | None = None,
                 d_state: int = 1,
                 mlp_ratio: float = 4.0,
                 drop_path_rate: float = 0.2,
                 scan_backend: str = 'auto',
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        dims, depths, ssm_ratio = self._read_arch(arch)
        dims = embed_dims or dims
        self.out_channels = tuple(dims * 2**i for i in range(len(depths)))
        self.strides = tuple(4 * 2**i for i in range(len(depths)))
        self.stem = nn.Sequential(
            nn.Conv2d(3, dims // 2, 3, stride=2, padding=1), LN2d(dims // 2), nn.GELU(),
            nn.Conv2d(dims // 2, dims, 3, stride=2, padding=1), LN2d(dims))
        drop_paths = torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist()  # on a meta device too
        self.stages, self.downsamples, self.out_norms = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i, (channels, depth) in enumerate(zip(self.out_channels, depths)):
            self.stages.append(
                nn.Sequential(*(self._make_block(channels, d_state=d_state, ssm_ratio=ssm_ratio, mlp_ratio=mlp_ratio,
                                                 drop_path=drop_paths.pop(0), scan_backend=scan_backend)
                                for _ in range(depth))))
            self.out_norms.append(LN2d(channels))
            if i < len(depths) - 1:
                self.downsamples.append(
                    nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), LN2d(2 * channels)))

    def _make_block(self, channels: int, **vss: Any) -> nn.Module:
        return VSSBlock(channels, **vss)

    @staticmethod
    def _read_arch(arch: str | dict) -> tuple[int, Sequence[int], float]:
        if isinstance(arch, dict):
            missing = {'embed_dims', 'depths', 'ssm_ratio'} ^ set(arch)
            if missing:
                raise ValueError(f'SiameseVSSM: arch as a dict needs exactly embed_dims, depths and ssm_ratio; '
                                 f'missing or unknown: {sorted(missing)}')
            return arch['embed_dims'], arch['depths'], arch['ssm_ratio']
        if arch not in ARCHS:
            raise ValueError(f'SiameseVSSM: arch {arch!r} is unknown; there are {", ".join(ARCHS)}, or give a dict')
        return ARCHS[arch]

    def init_weights(self) -> None:
        """mmengine's initialisation; pretrained weights that do not fit raise, where it would only log them."""
        check_pretrained(self)
        super().init_weights()

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of single images: (M, 3, H, W), multiples of 32, to four tensors (M, C_i, H / s_i, W / s_i)."""
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        features = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            features.append(self.out_norms[i](x))
            if i < len(self.downsamples):
                x = self.downsamples[i](x)
        return tuple(features)

    def forward(self, inputs: Tensor, later: Tensor | None = None) -> BitemporalFeatures:
        """Encode a pair.

        Args:
            inputs: (N, 6, H, W), channels 0-2 the earlier image and 3-5 the later; or, with ``later``, the earlier
                image alone (N, 3, H, W), as Open-CD's ``DIEncoderDecoder`` calls it.
            later: the later image (N, 3, H, W).
        """
        inputs, later = split_pair(self, inputs, later)
        images = pad_by_reflection(torch.cat([inputs, later]), self.strides[-1])
        a, b = zip(*(f.chunk(2) for f in self.encode(images)))
        image_a, image_b = images.chunk(2)
        height, width = inputs.shape[2:]
        return BitemporalFeatures(a, b, image_a, image_b, size=(height, width))
