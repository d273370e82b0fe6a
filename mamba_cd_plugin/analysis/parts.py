"""A model taken apart by the names of its modules."""
# Steps of the path that make a part of their own; where none fits, the first two are.
PARTS = (
    'decode_head.levels.skip.block',
    'decode_head.levels.skip',
    'decode_head.levels.squeeze',
    'decode_head.levels.edge',
    'decode_head.levels.fusion',
)


def part_of(name: str) -> str:
    """The part that a module or parameter belongs to: its path without the numbers, cut short.

    All levels and stages count as one: ``backbone.stages.2.0.ss2d.Ds`` is in ``backbone.stages``, and
    ``decode_head.levels.3.skip.block.vss.norm1.weight`` in ``decode_head.levels.skip.block``, the trunk's blocks.
    """
    path = '.'.join(step for step in name.split('.') if not step.isdigit())
    for part in PARTS:
        if path == part or path.startswith(f'{part}.'):
            return part
    return '.'.join(path.split('.')[:2])
