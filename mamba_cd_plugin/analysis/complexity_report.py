"""What a model costs, as a table for readers and as plain data for programs."""
from dataclasses import asdict
from typing import List, Tuple

from .complexity import Complexity, Cost

# Rows that add up the parts below them.
GROUPS = ('backbone', 'neck', 'decode_head')


def as_json(complexity: Complexity) -> dict:
    """Everything counted, as plain data: whole numbers of weights and of multiply-adds."""
    return dict(
        shape=list(complexity.shape),
        total=asdict(complexity.sum_of()),
        parts={name: asdict(cost) for name, cost in complexity.parts.items()},
        uncounted_operators=complexity.uncounted)


def _row(name: str, cost: Cost) -> Tuple[str, ...]:
    return (name, f'{cost.parameters / 1e6:.3f}', f'{cost.flops / 1e9:.3f}', f'{cost.training_flops / 1e9:.3f}')


def format_complexity(complexity: Complexity) -> str:
    """A Markdown table, a row per part, and what it leaves out."""
    table = [('part', 'parameters, M', 'FLOPs, G', 'in training, G'), ('---', *['---:'] * 3)]
    for group in GROUPS:
        table.append(_row(f'**{group}**', complexity.sum_of(f'{group}.')))
        table += [_row(name, cost) for name, cost in complexity.parts.items() if name.startswith(f'{group}.')]
    table.append(_row('**total**', complexity.sum_of()))
    height, width = complexity.shape
    lines: List[str] = [f'| {" | ".join(cells)} |' for cells in table]
    left_out = ', '.join(f'{name} ({times})' for name, times in complexity.uncounted.items())
    return '\n'.join([
        *lines, '',
        f'FLOPs: multiply-adds of the forward pass on one pair of {height} x {width} px; in training with the outputs '
        'that only the loss reads.',
        f'Not counted, element by element operators of the prediction: {left_out or "none"}.'])
