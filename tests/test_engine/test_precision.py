"""Mixed precision and what else the command line of a training sets."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mamba_cd_plugin.cli.main import main
from mamba_cd_plugin.engine import precision
from mamba_cd_plugin.models.layers import VSSBlock, build_part
from mamba_cd_plugin.resources import find_config


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU, with bfloat16 or without: gpu(True)."""

    def make(has_bf16):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'Card')
        monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation=True: has_bf16)

    return make


@pytest.mark.parametrize(('has_bf16', 'name', 'chosen'), [(True, 'auto', 'bf16'), (False, 'auto', 'fp16'),
                                                          (True, 'fp16', 'fp16')])
def test_choice_on_a_gpu(gpu, has_bf16, name, chosen):
    gpu(has_bf16)
    assert precision.choose_amp(name) == chosen


def test_refusals(gpu, no_gpu, monkeypatch):
    monkeypatch.setattr(precision, 'cpu_flags', lambda: {'avx2'})
    with pytest.raises(ValueError, match='this processor has no bfloat16 arithmetic'):
        precision.choose_amp('auto')
    with pytest.raises(ValueError, match='--amp fp16 needs a CUDA device'):
        precision.choose_amp('fp16')
    monkeypatch.setattr(precision, 'cpu_flags', lambda: {'avx512_bf16'})
    assert precision.choose_amp('auto') == 'bf16'
    gpu(False)
    with pytest.raises(ValueError, match='--amp bf16: Card has no bfloat16; use --amp fp16'):
        precision.choose_amp('bf16')


def settings():
    return Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
                       auto_scale_lr=dict(enable=False, base_batch_size=12), test_cfg=dict()))


def test_what_the_config_gets(gpu, no_gpu):
    cfg = settings()
    precision.enable_training_amp(cfg, 'bf16')
    precision.accumulate_gradients(cfg, 4)
    assert cfg.optim_wrapper == dict(type='AutocastOptimWrapper', dtype='bfloat16', accumulative_counts=4,
                                     optimizer=dict(type='SGD', lr=0.1))
    assert cfg.auto_scale_lr.base_batch_size == 3  # a step of 4 x 3 pairs has the rate of 12
    precision.scale_learning_rate(cfg)
    assert cfg.auto_scale_lr.enable is True
    with pytest.raises(ValueError, match='--accumulate 0'):
        precision.accumulate_gradients(cfg, 0)
    with pytest.raises(ValueError, match='--auto-scale-lr: .*add auto_scale_lr = dict'):
        precision.scale_learning_rate(Config(dict(auto_scale_lr=dict(enable=False))))
    gpu(False)
    cfg = settings()
    precision.enable_training_amp(cfg, 'auto')
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic',
                                     optimizer=dict(type='SGD', lr=0.1))


def test_test_runs_in_the_chosen_precision(no_gpu):
    before = torch.get_autocast_dtype('cpu')
    cfg = settings()
    try:
        precision.enable_test_amp(cfg, 'bf16')
        assert cfg.test_cfg.fp16 and torch.get_autocast_dtype('cpu') == torch.bfloat16
    finally:
        torch.set_autocast_dtype('cpu', before)


def test_autocast_wrapper_steps_in_bfloat16():
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    wrapper = build_optim_wrapper(model, dict(type='AutocastOptimWrapper', optimizer=dict(type='SGD', lr=0.5)))
    with wrapper.optim_context(model):
        y = model(torch.tensor([[1., 2.]]))
    assert y.dtype == torch.bfloat16
    wrapper.update_params(y.float().sum())
    assert torch.equal(model.weight.detach(), torch.tensor([[0.5, 0.]]))  # float32: 1 - 0.5 x 1, 1 - 0.5 x 2
    assert model.weight.dtype == torch.float32


@pytest.fixture(scope='module')
def model():
    """The small V8 with all losses of the project."""
    torch.manual_seed(0)
    config = Config.fromfile(find_config('cdmamba_v8_small_levircd')).model
    config.backbone.update(drop_path_rate=0.)
    config.decode_head.loss_decode.swbce = dict(type='SWBCELoss')
    built = build_part(config)
    built.init_weights()
    return built.train()


def batch():
    generator = torch.Generator().manual_seed(1)
    labels = torch.zeros(2, 1, 64, 64, dtype=torch.long)
    labels[..., :24, :24] = 1
    labels[..., -4:] = 255
    return (torch.randn(2, 6, 64, 64, generator=generator),
            [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels])


def losses_and_gradient(model):
    model.zero_grad()
    losses = model(*batch(), mode='loss')
    sum(losses.values()).backward()
    return losses, model.backbone.stem[0].weight.grad.clone()


def test_losses_are_float32_under_autocast(model):
    expected, gradient = losses_and_gradient(model)
    with torch.autocast('cpu', torch.bfloat16):
        losses, low = losses_and_gradient(model)
    assert set(losses) == {'decode.loss_focal', 'decode.loss_lovasz', 'decode.loss_swbce'}
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=0.05, atol=0.)
    assert torch.cosine_similarity(low.flatten(), gradient.flatten(), 0) > 0.9


def test_losses_of_low_logits_are_those_of_their_float32_values(model):
    logits = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(2)).bfloat16()
    samples = batch()[1]
    with torch.autocast('cpu', torch.bfloat16):
        low = model.decode_head.loss_by_feat(logits, samples)
    for name, loss in model.decode_head.loss_by_feat(logits.float(), samples).items():
        assert torch.equal(loss, low[name]), name


def test_compiled_parts_give_the_same_gradients():
    torch.manual_seed(0)
    model = nn.Module()
    model.backbone, model.neck = VSSBlock(8), nn.Conv2d(8, 1, 1)
    x = torch.randn(1, 8, 6, 6)

    def gradient():
        model.zero_grad()
        model.neck(model.backbone(x)).square().sum().backward()
        return model.backbone.ss2d.A_logs.grad.clone()

    expected, names = gradient(), list(model.state_dict())
    precision.compile_parts(model, backend='aot_eager')  # without the C++ compiler, which takes a minute
    torch.testing.assert_close(gradient(), expected)
    assert list(model.state_dict()) == names


def test_joint_batch_norm(gpu, no_gpu, model):
    cfg = settings()
    with pytest.raises(ValueError, match='this is one; start them by tools/dist_train.sh'):
        precision.synchronise_batch_norm(cfg)
    cfg.launcher = 'pytorch'
    with pytest.raises(ValueError, match='trains on GPUs only'):
        precision.synchronise_batch_norm(cfg)
    gpu(True)
    precision.synchronise_batch_norm(cfg)
    before = [type(module) for module in model.modules() if isinstance(module, _BatchNorm)]
    joined = convert_sync_batchnorm(copy.deepcopy(model), cfg.sync_bn)  # as mmengine's Runner does
    after = [type(module) for module in joined.modules() if isinstance(module, _BatchNorm)]
    assert set(before) == {nn.BatchNorm2d} and after == [nn.SyncBatchNorm] * len(before)
    pair = batch()[0]
    with torch.no_grad():
        torch.testing.assert_close(joined.eval()(pair), copy.deepcopy(model).eval()(pair))


def test_command_line_refuses_in_one_line(no_gpu):
    with pytest.raises(SystemExit, match='error: --amp fp16 needs a CUDA device'):
        main(['train', 'cdmamba_v8_small_synthetic', '--amp', 'fp16'])
