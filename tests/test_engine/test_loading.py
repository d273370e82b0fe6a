"""What a run loads: weights that are its model's, schedules that fit, and a work dir that is its own."""
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mamba_cd_plugin.engine.machine import check_device
from mamba_cd_plugin.engine.recovery import checkpoint_to_resume, newest_checkpoint, refuse_used_work_dir
from mamba_cd_plugin.engine.resume import ResumeError
from mamba_cd_plugin.engine.weights import OtherWeightsError, fit_weights
from mamba_cd_plugin.models.data_preprocessor import PairDataPreProcessor
from mamba_cd_plugin.models.decode_heads import EdgeGuidedHead

Make = Callable[..., Runner]
CHECKS = [{'type': 'LoadedWeightsHook'}, {'type': 'ResumeHook'}]


class Rates(Hook):
    """Collects the learning rate that every step was made with."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict = None) -> None:
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])


def rates_of(runner: Runner) -> list[float]:
    rates = Rates()
    runner.register_hook(rates)
    runner.train()
    return rates.rates


def cosine(epochs: int) -> dict:
    """Two steps an epoch, the first of them a warm-up, and one cosine over all."""
    return {'train_cfg.max_epochs': epochs, 'optim_wrapper.optimizer.lr': 0.01, 'param_scheduler': [
        {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'begin': 0, 'end': 2},
        {'type': 'CosineAnnealingLR', 'T_max': epochs, 'by_epoch': True, 'convert_to_iter_based': True}]}


def test_fit_by_name_and_shape() -> None:
    """2 x 3 + 2 numbers of the first layer fit, the second has another width: 8 of 8 + 2 x 2 + 2 = 14."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    other = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5)).state_dict()
    fit = fit_weights(model, {**{f'module.{name}': value for name, value in other.items()}, 'extra': torch.zeros(1)})
    assert fit.taken == ['0.weight', '0.bias'] and fit.share == 8 / 14
    assert fit.reshaped == {'1.weight': ((5, 2), (2, 2)), '1.bias': ((5, ), (2, ))}
    assert fit.unexpected == ['extra'] and fit.missing == [] and not fit.complete
    assert fit.difference() == ('2 have another shape (1.weight is [5, 2] and should be [2, 2], 1.bias is [5] and '
                                'should be [2]); 1 are unknown to the model (extra)')
    assert fit_weights(model, model.state_dict()).complete


@pytest.fixture
def trained(make_runner: Make) -> Path:
    """A checkpoint of two epochs."""
    runner = make_runner(cosine(2), CHECKS)
    runner.train()
    return Path(runner.work_dir) / 'epoch_2.pth'


def test_a_test_takes_just_the_weights_of_its_model(make_runner: Make, trained: Path) -> None:
    assert 'changed_F1' in make_runner({'load_from': str(trained)}, CHECKS).test()
    checkpoint = torch.load(trained, weights_only=False)
    del checkpoint['state_dict']['decode_head.conv_seg.bias']
    torch.save(checkpoint, trained)
    with pytest.raises(OtherWeightsError, match=r'1 of the model are missing \(decode_head\.conv_seg\.bias\)'):
        make_runner({'load_from': str(trained)}, CHECKS).test()


def test_a_threshold_of_published_weights_is_not_silently_another(make_runner: Make, trained: Path) -> None:
    checkpoint = torch.load(trained, weights_only=False)
    checkpoint['meta'].update(calibration=dict(temperature=2.), cfg='model = dict(decode_head=dict(threshold=0.375))')
    torch.save(checkpoint, trained)
    for threshold, told in ((0.5, 1), (0.375, 0)):
        warnings = []
        runner = make_runner({'load_from': str(trained), 'model.decode_head.threshold': threshold}, CHECKS)
        runner.logger.warning = lambda text, warnings=warnings: warnings.append(text)
        runner.load_checkpoint(str(trained), 'cpu')
        assert sum('--cfg-options model.decode_head.threshold=0.375' in text for text in warnings) == told


def test_load_from_says_what_it_takes(make_runner: Make, trained: Path, tmp_path: Path) -> None:
    """The second convolution is 8 * 8 * 9 + 8 = 584 of 584 + (6 * 8 * 9 + 8) + (8 + 1) = 1033 numbers."""
    weights = torch.load(trained, weights_only=False)['state_dict']
    for name in list(weights):
        if not name.startswith('backbone.second'):
            del weights[name]
    torch.save({'state_dict': weights}, tmp_path / 'part.pth')
    told = []
    runner = make_runner({'load_from': str(tmp_path / 'part.pth'), 'work_dir': str(tmp_path / 'new')}, CHECKS)
    runner.logger.info = told.append
    runner.train()
    assert f'2 weights were taken, {584 / 1033:.1%} of the numbers in the model' in ''.join(map(str, told))
    assert pytest.approx(0.565, abs=5e-4) == 584 / 1033

    torch.save({'state_dict': {'something.else': torch.zeros(3)}}, tmp_path / 'part.pth')
    with pytest.raises(OtherWeightsError, match=r'Hardly anything .*0 weights were taken, 0\.0% of the numbers'):
        make_runner({'load_from': str(tmp_path / 'part.pth')}, CHECKS).train()


def test_a_longer_training_stretches_the_schedule(make_runner: Make, trained: Path) -> None:
    resumed = rates_of(make_runner({**cosine(6), 'resume': True}, CHECKS))
    shutil.rmtree(trained.parent)
    whole = rates_of(make_runner(cosine(6), CHECKS))
    assert len(whole) == 12 and whole[0] == pytest.approx(0.001) and whole[1] > 0.0095
    assert resumed == pytest.approx(whole[4:], rel=1e-9)


def test_the_same_schedule_is_restored_and_not_replayed(make_runner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rates_of(make_runner(cosine(3), CHECKS))
    work_dir = Path(make_runner(cosine(3), CHECKS).work_dir)
    shutil.rmtree(work_dir)

    class Stop(Hook):

        def before_train_epoch(self, runner: Runner) -> None:
            if runner.epoch == 2:
                raise KeyboardInterrupt

    runner = make_runner(cosine(3), CHECKS)
    runner.register_hook(Stop())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    monkeypatch.setattr('mamba_cd_plugin.engine.resume._replay', None)
    assert rates_of(make_runner({**cosine(3), 'resume': True}, CHECKS)) == whole[4:]


def test_a_changed_optimizer_is_refused(make_runner: Make, trained: Path) -> None:
    with pytest.raises(ResumeError, match=r'optim_wrapper\.optimizer\.lr was 0\.01 and is now 0\.02'):
        make_runner({**cosine(2), 'optim_wrapper.optimizer.lr': 0.02, 'resume': True}, CHECKS).train()
    # The batch size of a scaling that is off changes nothing; one that is on would.
    make_runner({**cosine(2), 'auto_scale_lr': dict(enable=False, base_batch_size=16), 'resume': True}, CHECKS).train()
    with pytest.raises(ResumeError, match=r'auto_scale_lr\.enable was not set and is now True'):
        make_runner({**cosine(2), 'auto_scale_lr': dict(enable=True, base_batch_size=16), 'resume': True},
                    CHECKS).train()


def test_a_plateau_schedule_gets_the_new_end_and_no_new_settings(make_runner: Make) -> None:
    def plateau(epochs: int, patience: int = 0) -> dict:
        return {'train_cfg.max_epochs': epochs, 'optim_wrapper.optimizer.lr': 0.1, 'param_scheduler': [
            {'type': 'ReduceOnPlateauLR', 'monitor': 'changed_F1', 'rule': 'greater', 'factor': 0.5,
             'patience': patience, 'threshold': 2.}]}  # no score is ever twice the best: every epoch is a bad one

    make_runner(plateau(2), CHECKS).train()
    rates = rates_of(make_runner({**plateau(4), 'resume': True}, CHECKS))
    assert rates[-1] < rates[0]  # with the old end of 2 epochs it would stay where it is
    with pytest.raises(ResumeError, match=r'param_scheduler\.0\.patience was 0 and is now 3'):
        make_runner({**plateau(6, patience=3), 'resume': True}, CHECKS).train()


def test_the_newest_checkpoint_is_the_one_in_this_folder(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None and checkpoint_to_resume(tmp_path) is None
    for name in ('epoch_9.pth', 'epoch_10.pth', 'best_changed_F1.pth', 'last_good.pth'):
        (tmp_path / name).touch()
    assert newest_checkpoint(tmp_path).name == 'epoch_10.pth'
    (tmp_path / 'last_checkpoint').write_text('/where/it/was/epoch_9.pth')
    assert newest_checkpoint(tmp_path) == tmp_path / 'epoch_9.pth'
    assert checkpoint_to_resume(tmp_path) == str(tmp_path / 'epoch_9.pth')
    (tmp_path / 'epoch_9.pth').unlink()
    assert newest_checkpoint(tmp_path).name == 'epoch_10.pth'
    with pytest.raises(FileNotFoundError, match=r'--resume other\.pth: .*newest checkpoint in .* is epoch_10\.pth'):
        checkpoint_to_resume(tmp_path, 'other.pth')


def test_a_new_training_does_not_begin_where_another_was(tmp_path: Path) -> None:
    refuse_used_work_dir(tmp_path / 'not there yet')
    (tmp_path / 'best_changed_F1.pth').touch()
    with pytest.raises(FileExistsError, match=r'best_changed_F1\.pth.*--resume.*--work-dir'):
        refuse_used_work_dir(tmp_path)


@pytest.mark.parametrize('name', ['gpu', 'cuda:77', 'meta'])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(ValueError, match=f'--device {name}: .*this machine has cpu'):
        check_device(name)
    assert check_device('cpu') == 'cpu'


def test_pairs_of_two_sizes_are_named() -> None:
    preprocessor = PairDataPreProcessor(mean=[0.] * 3, std=[1.] * 3)
    batch = {'inputs': [torch.zeros(6, 4, 8), torch.zeros(6, 4, 8), torch.zeros(6, 6, 8)],
             'data_samples': [{'img_path': f'{name}.png'} for name in 'abc']}
    with pytest.raises(ValueError, match=r'a\.png is 4 x 8 px and c\.png is 6 x 8 px \(height x width\)'):
        preprocessor(batch, True)


@pytest.mark.parametrize('option', [{'num_classes': 3}, {'out_channels': 2}])
def test_a_head_of_other_classes_is_refused(option: dict) -> None:
    parts = dict.fromkeys(['skip', 'block', 'edge', 'fusion', 'final', 'loss_decode', 'norm_cfg', 'act_cfg'])
    with pytest.raises(ValueError, match='num_classes = . and out_channels = ., expected 2 and 1'):
        EdgeGuidedHead(in_channels=[8, 16], **parts, **option)


@pytest.mark.parametrize(('length', 'told'), [
    (2, []),
    (1, ['ends after epoch 1, the training after epoch 2: the last epochs have another rate than meant']),
    (5, ['ends after epoch 5, the training after epoch 2: the rate is cut off before it has come down'])])
def test_a_schedule_of_another_length_is_told(make_runner: Make, length: int, told: list[str]) -> None:
    """As it is after train_cfg.max_epochs alone was changed."""
    runner = make_runner({**cosine(2), 'param_scheduler': cosine(length)['param_scheduler']}, CHECKS)
    runner.train()
    log, = Path(runner.work_dir).glob('*/*.log')
    lines = [line.partition('CosineAnnealingLR ')[2] for line in log.read_text().splitlines() if 'The schedule' in line]
    assert lines == [f'{text}. Set param_scheduler.1.T_max as well.' for text in told]
