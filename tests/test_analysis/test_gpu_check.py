"""The GPU check: its report, and all of it that runs without a GPU."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mamba_cd_plugin.analysis import gpu_check, gpu_report
from mamba_cd_plugin.analysis.gpu_report import GpuReport
from mamba_cd_plugin.resources import tools_dir

TOOL = tools_dir() / 'analysis_tools/check_gpu.py'


def test_a_failed_section_leaves_its_rows_and_the_next_runs(tmp_path: Path) -> None:
    report = GpuReport(tmp_path, 60)

    def failing():
        report.add('scan', backend='triton', ms=1.23456)
        yield
        raise RuntimeError('out of memory')

    def sound():
        report.claim('two is more than one', 2 > 1)
        report.claim('one is more than two', 1 > 2)
        yield

    report.run('scan', failing())
    report.run('model', sound())
    assert report.failures() == ['section scan runs to its end', 'one is more than two']
    text = (tmp_path / 'check_gpu.md').read_text()
    assert '| triton | 1.23 |' in text and 'FAILED: RuntimeError: out of memory' in text
    assert text.endswith('- section scan runs to its end\n- one is more than two\n')
    content = json.loads((tmp_path / 'check_gpu.json').read_text())
    assert content['sections'] == {'scan': [{'backend': 'triton', 'ms': 1.23456}]}


def test_a_slow_section_is_cut_short_and_the_next_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_report, 'GRACE', 0.2)
    report = GpuReport(tmp_path, 60)

    def slow_row():
        report.add('scan', ms=1.)
        try:
            time.sleep(30)
        except Exception:  # what fails in a row is the row's own business, but this is none of it
            report.claim('the row is not told', False)
        yield

    def many_rows():
        while True:
            report.add('model', ms=2.)
            yield

    report.run('scan', slow_row(), 0.)
    report.run('model', many_rows(), 0.)
    assert report.elapsed < 20 and report.failures() == []
    assert 'cut short: its 0 s were up, within a row' in report.notes['scan']
    assert report.notes['model'].endswith('cut short: its 0 s were up')
    assert report.markdown().endswith('Not checked, or not to the end: scan, model.\n')


def test_rows_of_the_model_claim_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first section has what the claims are about; batch 128 meets its counterpart in a later one."""
    steps = {('bf16', 12): (114., 100.), ('fp32', 12): (116., 100.), ('bf16', 128): (400., 390.)}
    report = GpuReport(tmp_path, 60)
    for section, (dtype, count, scan) in [*(('model', row) for row in gpu_check.claimed_rows(gpu_check.Sizes())),
                                          ('more of the model', ('bf16', 128, 'identity'))]:
        report.add(section, dtype=dtype, batch=count, scan=scan,
                   training_step_ms=steps[dtype, count][scan == 'identity'])
        gpu_check.claim_about_model(report, dtype, count, scan)
    assert [(text.split(':')[0], holds) for text, holds in report.claims] == [
        ('batch 12 in bf16 fits the memory', True), ('batch 12, bf16', True), ('batch 12, fp32', False),
        ('batch 128 in bf16 fits the memory', True), ('batch 128, bf16', True)]


def test_no_section_begins_when_the_time_is_up(tmp_path: Path) -> None:
    report = GpuReport(tmp_path, -1)
    report.run('scan', iter([1 / 1]))
    assert report.notes == {'scan': 'left out: -1 s were up'} and report.failures() == []


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    answer = subprocess.run([sys.executable, str(TOOL), '--out', str(tmp_path / 'out')], capture_output=True, text=True,
                            timeout=120, check=False)
    assert answer.returncode == 2 and 'There is no GPU here' in answer.stderr
    assert not (tmp_path / 'out').exists()


def test_toy_size_without_a_gpu(tmp_path: Path) -> None:
    pytest.importorskip('triton')
    command = [sys.executable, str(TOOL), '--interpret', '--out', str(tmp_path), '--sections', 'correctness',
               'scan', 'training']
    answer = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False,
                            env={**os.environ, 'OMP_NUM_THREADS': '1'})
    content = json.loads((tmp_path / 'check_gpu.json').read_text())
    assert answer.returncode == (0 if all(claim['holds'] for claim in content['claims']) else 1), answer.stderr
    rows = content['sections']['correctness']
    assert [(row['backend'], row['dtype']) for row in rows][:2] == [('triton', 'fp32'), ('torch', 'fp32')]
    assert all(row['y'] < 1e-6 for row in rows if row['dtype'] == 'fp32')
    timed = [(row['backend'], 'forward_backward_device_ms' in row) for row in content['sections']['scan']]
    assert timed == [('u + delta', False), ('triton', True), ('torch', True)] * 2
    assert [row['dtype'] for row in content['sections']['training']] == ['fp32', 'fp32', 'bf16']
    assert all(row['finite'] for row in content['sections']['training'])
