"""Configs as the command line names and changes them."""
import argparse
import re
from pathlib import Path

import pytest

from mamba_cd_plugin.cli.experiment import add_common_arguments, load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
CONFIG = str(CONFIGS / 'cdmamba_v8_levircd.py')


def read(*arguments: str):
    """The config that a command line gives."""
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    return load_config(parser.parse_args(arguments))


def test_work_dir_is_named_after_the_config() -> None:
    assert read(CONFIG).work_dir == str(Path('work_dirs') / 'cdmamba_v8_levircd')
    assert read(CONFIG, '--work-dir', 'here').work_dir == 'here'


def test_options_reach_nested_keys_and_lists() -> None:
    cfg = read(CONFIG, '--cfg-options', 'optim_wrapper.optimizer.lr=0.5', 'param_scheduler.0.patience=3', 'data_root=x')
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.param_scheduler[0].patience == 3
    assert cfg.data_root == 'x'


def test_options_may_add_an_argument_or_a_key_of_the_runner() -> None:
    cfg = read(CONFIG, '--cfg-options', 'model.backbone.d_state=4', 'experiment_name=trial')
    assert cfg.model.backbone.d_state == 4 and cfg.experiment_name == 'trial'


@pytest.mark.parametrize(('option', 'message'), [
    ('optim_wraper.optimizer.lr=1', "the config has no key 'optim_wraper'; similar or existing keys: optim_wrapper"),
    ('model.decode_heads.threshold=1', "model has no key 'decode_heads'; similar or existing keys: decode_head"),
    ('param_scheduler.7.patience=1', "param_scheduler has no key '7'"),
    ('datarot=x', "the config has no key 'datarot'; similar or existing keys: data_root"),
])
def test_a_misspelt_option_is_refused(option: str, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        read(CONFIG, '--cfg-options', option)


@pytest.mark.parametrize(('name', 'option', 'places'), [
    ('cdmamba_v8_small_levircd', 'max_epochs=7', 'train_cfg.max_epochs, param_scheduler.1.T_max'),
    ('cdmamba_v8_small_levircd', 'crop_size=64',
     'train_dataloader.dataset.pipeline.2.crop_size, train_dataloader.dataset.pipeline.3.size'),
    ('cdmamba_v8_levircd', 'train_pipeline.4.prob=0', 'train_dataloader.dataset.pipeline.4.prob'),
    ('cdmamba_v8_levircd', 'data_preprocessor.mean=[1,2,3]', 'model.data_preprocessor.mean'),
])
def test_an_option_that_no_run_would_notice_is_refused(name: str, option: str, places: str) -> None:
    """What a config computed from the variable stays as it is, whatever becomes of the variable."""
    with pytest.raises(KeyError, match=re.escape(f'the same value stands in {places}.')):
        read(str(CONFIGS / f'{name}.py'), '--cfg-options', option)


def test_braces_may_stand_in_a_name() -> None:
    assert read(CONFIG, '--cfg-options', 'default_hooks.checkpoint.filename_tmpl={}.pth'
                ).default_hooks.checkpoint.filename_tmpl == '{}.pth'


def test_what_torch_asks_for_can_be_added() -> None:
    assert read(CONFIG, '--cfg-options', 'find_unused_parameters=True').find_unused_parameters is True


@pytest.mark.parametrize(('word', 'message'), [
    ('no_equals', "argument --cfg-options: expected key=value, got 'no_equals'"),
    ('=1', "argument --cfg-options: expected key=value, got '=1'"),
    ('data_root=[1,(2]', "argument --cfg-options: the value of 'data_root=[1,(2]' cannot be read: "),
    ('data_root=f(1,2)', "the value of 'data_root=f(1,2)' cannot be read: its commas stand in brackets of no list."),
    ('model=dict(a=1)', "'model=dict(a=1)' gives a dict, which cannot be read here. Give each of its values a key, "
     'such as model.name=1'),
    ('model.x=dict(a=(1,2),b=2)', 'such as model.x.name=1, where the config has model.x; else write it into a config'),
    ('custom_hooks=[dict(type=X)]', 'gives a dict'),
    ("custom_hooks=[{'type': 'X', 'a': 1}]", 'gives a dict'),
])
def test_what_is_no_option_ends_with_one_line(word: str, message: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        read(CONFIG, '--cfg-options', 'work_dir=x', word)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_dict_in_the_place_of_a_value_is_named() -> None:
    with pytest.raises(ValueError, match='^--cfg-options train_dataloader.num_workers.x: num_workers=.* cannot'):
        read(CONFIG, '--cfg-options', 'train_dataloader.num_workers.x=1')


def test_a_config_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match='config nowhere.py does not exist'):
        read('nowhere.py')
