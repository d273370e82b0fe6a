"""Where the output starts: at the logit that its own losses want of a model that sees nothing yet."""
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
VERSIONS = sorted(path.stem for path in CONFIGS.glob('cdmamba_v*.py'))
SHARE = 0.05  # of the pixels that are changed, as in LEVIR-CD


def best_constant(cfg: Config) -> float:
    """The logit, the same for all pixels, at which the losses of a config add up to the least."""
    losses = [MODELS.build(loss) for loss in cfg.model.decode_head.loss_decode.values()]
    labels = torch.zeros(1, 40, 50, dtype=torch.long)
    labels.view(-1)[:int(SHARE * labels.numel())] = 1
    logits = np.arange(-6, 3, 0.1)
    totals = [sum(float(loss(torch.full((1, 1, 40, 50), logit), labels, ignore_index=255)) for loss in losses)
              for logit in logits]
    return float(logits[int(np.argmin(totals))])


def start(cfg: Config) -> float:
    """The bias with which the output starts."""
    probability = cfg.model.decode_head.init_cfg.bias_prob
    return math.log(probability / (1 - probability))


@pytest.mark.parametrize('version', VERSIONS)
def test_a_version_starts_where_its_losses_want_it(version: str) -> None:
    cfg = Config.fromfile(CONFIGS / f'{version}.py')
    assert start(cfg) == pytest.approx(best_constant(cfg), abs=1)


def test_losses_want_different_starts() -> None:
    # BCE is least at the share itself: ln(0.05 / 0.95) = -2.94. Lovasz has its kink at 0, where the hinge of a pixel
    # of either class is 1; Focal alone would pull a little below.
    assert best_constant(Config.fromfile(CONFIGS / 'cdmamba_v1_levircd.py')) == pytest.approx(-2.94, abs=0.06)
    assert best_constant(Config.fromfile(CONFIGS / 'cdmamba_v8_levircd.py')) == pytest.approx(0, abs=0.11)
