"""The README's table of configs is what the configs say."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_true() -> None:
    tool = ROOT / 'tools/analysis_tools/readme_table.py'
    run = subprocess.run([sys.executable, str(tool), '--check'], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
