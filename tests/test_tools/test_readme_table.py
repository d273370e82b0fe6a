"""The tables of configs agree with the configs."""
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_tables_are_up_to_date() -> None:
    tool = ROOT / 'tools/analysis_tools/readme_table.py'
    run = subprocess.run([sys.executable, str(tool), '--check'], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_readme_names_the_costs_of_its_models() -> None:
    index = yaml.safe_load((ROOT / 'configs/metafile.yml').read_text('utf-8'))
    costs = {entry['Name']: entry['Metadata'] for entry in index['Models']}
    rows = re.findall(r'^\| \[(\w+)\]\(configs/.*?\) \|.*?\| ([\d.]+) M \| ([\d.]+) G \|',
                      (ROOT / 'README.md').read_text('utf-8'), re.M)
    assert len(rows) >= 5
    for name, parameters, flops in rows:
        cost = costs[name]
        assert (parameters, flops) == (f'{cost["Parameters"] / 1e6:.1f}', f'{cost["FLOPs"] / 1e9:.1f}'), name
