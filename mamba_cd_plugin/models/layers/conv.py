"""The convolution unit of neck and head, with the diary's rule for biases built in."""
from typing import Optional

from mmcv.cnn import ConvModule


def conv_norm_act(in_channels: int,
                  out_channels: int,
                  kernel_size: int,
                  norm_cfg: Optional[dict],
                  act_cfg: Optional[dict],
                  groups: int = 1) -> ConvModule:
    """Convolution (stride 1, same size), norm, activation.

    A bias is dropped only where a BatchNorm follows and would cancel it (diary, V5: 卷积的偏置只有结合BN时才False, "the
    bias of a convolution is False only together with BN").

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd kernel size.
        norm_cfg: mmcv's norm config, or None.
        act_cfg: mmcv's activation config, or None.
        groups: groups of the convolution; ``in_channels`` makes it depthwise.
    """
    batch_norm_follows = norm_cfg is not None and 'BN' in norm_cfg['type']
    return ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        groups=groups,
        bias=not batch_norm_follows,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
        # LN2d's output is a view; written in place, autograd would copy it four times on the way back (V3: 14 % of a
        # training step). BatchNorm's is not.
        inplace=batch_norm_follows)
