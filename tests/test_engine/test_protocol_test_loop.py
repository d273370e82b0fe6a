"""Testing whole images and tiles."""
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner
from mmseg.registry import LOOPS, MODELS
from torch import nn

from mamba_cd_plugin.engine.protocol_test_loop import ProtocolTestLoop, choose_protocols, unwrap_segmentor

TILED = {'test_cfg': {'type': 'ProtocolTestLoop', 'tile': 32}}


def scatter(model: nn.Module) -> None:
    """Weights that answer differently on a tile than on its image, with both classes among the answers."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


def score_tiles_by_hand(runner: Runner, tile: int) -> torch.Tensor:
    """Cut each test pair into tiles, predict them one by one and count by hand."""
    confusion = torch.zeros(2, 2, dtype=torch.int64)
    for item in runner.test_dataloader.dataset:
        for top in range(0, item['inputs'].shape[1], tile):
            for left in range(0, item['inputs'].shape[2], tile):
                window = slice(top, top + tile), slice(left, left + tile)
                with torch.no_grad():
                    logits = runner.model(item['inputs'][(slice(None), *window)][None], mode='tensor')
                predicted = logits.sigmoid()[0, 0] > 0.5
                truth = item['data_samples'].gt_sem_seg.data[0][window] == 1
                for row, is_true in enumerate((~truth, truth)):
                    for column, is_predicted in enumerate((~predicted, predicted)):
                        confusion[row, column] += int((is_true & is_predicted).sum())
    return confusion


def test_registered() -> None:
    assert LOOPS.get('ProtocolTestLoop') is ProtocolTestLoop


def test_tiles_equal_a_data_set_of_tiles(make_runner: Callable[..., Runner]) -> None:
    runner = make_runner({**TILED, 'test_dataloader.dataset.sizes': [[64, 64], [64, 96]]})
    scatter(runner.model)
    metrics = runner.test()
    (tn, fp), (fn, tp) = score_tiles_by_hand(runner, 32).tolist()
    assert tp and fp
    assert metrics['tiles32/changed_F1'] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert metrics['tiles32/OA'] == pytest.approx((tp + tn) / (2 * 64 * 64 + 64 * 32))
    assert metrics['whole/OA'] != metrics['tiles32/OA']


def test_whole_equals_the_plain_loop(make_runner: Callable[..., Runner]) -> None:
    runner = make_runner(TILED)
    scatter(runner.model)
    plain = make_runner()
    scatter(plain.model)
    metrics = runner.test()
    assert {key: value for key, value in metrics.items() if key.startswith('whole/')} == {
        f'whole/{key}': value for key, value in plain.test().items()}


def test_the_models_own_mode_is_put_back(make_runner: Callable[..., Runner]) -> None:
    own = {'mode': 'slide', 'crop_size': (48, 48), 'stride': (24, 24)}
    runner = make_runner({**TILED, 'model.test_cfg': own})
    runner.test()
    assert dict(runner.model.test_cfg) == own


def test_mode_is_put_back_after_an_error(make_runner: Callable[..., Runner]) -> None:
    runner = make_runner({**TILED, 'test_dataloader.dataset.label': 7})
    with pytest.raises(ValueError, match='label'):
        runner.test()
    assert dict(runner.model.test_cfg) == {'mode': 'whole'}


def test_hooks_get_all_metrics_once(make_runner: Callable[..., Runner]) -> None:
    runner = make_runner(TILED)
    runner.test()
    scalars = runner.message_hub.log_scalars
    assert len(scalars['test/whole/changed_F1'].data[0]) == 1
    assert len(scalars['test/tiles32/changed_F1'].data[0]) == 1


@pytest.mark.parametrize(('sizes', 'tile', 'expected'), [
    ({(1024, 1024)}, 256, ('whole', 'tiles256')),
    ({(256, 256), (512, 256)}, 256, ('whole', 'tiles256')),
    ({(256, 256)}, 256, ('tiles256', None)),
    ({(512, 512), (500, 512)}, 256, ('whole', None)),
    ({(64, 64)}, 256, ('whole', None)),
    ({(1024, 1024)}, None, ('whole', None)),
])
def test_protocols_follow_from_the_sizes(sizes: set, tile: int, expected: tuple) -> None:
    assert choose_protocols(sizes, tile)[:2] == expected


def test_the_reason_names_the_size_in_the_way() -> None:
    assert '500 x 512' in choose_protocols({(512, 512), (500, 512)}, 256)[2]


def test_masks_are_those_of_the_whole_images(make_runner: Callable[..., Runner], tmp_path: Path) -> None:
    masks: dict[str, bytes] = {}
    for name, options in (('both', TILED), ('whole', {})):
        runner = make_runner({**options, 'test_evaluator.output_dir': str(tmp_path / name)})
        scatter(runner.model)
        runner.test()
        assert runner.test_evaluator.metrics[0].output_dir == str(tmp_path / name)
        masks[name] = (tmp_path / name / 'pair_0.png').read_bytes()
    assert masks['both'] == masks['whole']


def test_table_names_protocols_and_pixels(make_runner: Callable[..., Runner], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []
    monkeypatch.setattr('mamba_cd_plugin.engine.protocol_test_loop.print_log',
                        lambda message, **kwargs: lines.append(message))
    make_runner(TILED).test()
    assert all(word in lines[-1] for word in ('whole', 'tiles32', '8,192', 'changed_F1'))


def test_segmentor_inside_wrappers(make_runner: Callable[..., Runner]) -> None:
    segmentor = make_runner().model

    class Distributed(nn.Module):

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

    class Augmented(BaseTTAModel):

        def merge_preds(self, data_samples_list: list) -> list:
            return data_samples_list

    assert unwrap_segmentor(Distributed(Augmented(segmentor))) is segmentor
    with pytest.raises(TypeError, match='Conv2d'):
        unwrap_segmentor(Distributed(nn.Conv2d(1, 1, 1)))


def test_with_test_time_augmentation(make_runner: Callable[..., Runner]) -> None:
    """One view that changes nothing: the merged result must be that of the plain model."""

    @MODELS.register_module(force=True)
    class FirstView(BaseTTAModel):

        def merge_preds(self, data_samples_list: list) -> list:
            return [views[0] for views in data_samples_list]

        def test_step(self, data: dict) -> list:
            return super().test_step({key: [value] for key, value in data.items()})

    plain = make_runner(TILED)
    scatter(plain.model)
    expected = plain.test()
    runner = make_runner(TILED)
    scatter(runner.model)
    runner.model = FirstView(runner.model)
    assert runner.test() == expected
    assert dict(runner.model.module.test_cfg) == {'mode': 'whole'}
