"""Checks of the images: size, channels, content."""
from collections import Counter
from typing import Iterator

from .finding import ERROR, WARNING, Finding, Limits, SplitFacts

# Channels that Pillow calls so are what the pipeline reads without dropping or inventing any.
_IMAGE_MODES = ('RGB', )
_LABEL_MODES = ('L', '1', 'P')


def find_unequal_sizes(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Pairs whose files differ in size."""
    unequal = {pair.name: {role: file.size for role, file in pair.files.items() if file.size} for pair in split.pairs}
    unequal = {name: sizes for name, sizes in unequal.items() if len(set(sizes.values())) > 1}
    if unequal:
        name, sizes = next(iter(unequal.items()))
        shown = ', '.join(f'{role} {width} x {height}' for role, (width, height) in sizes.items())
        yield Finding('unequal_size', ERROR, split.name, f'the files of a pair differ in size ({name}: {shown}); cut '
                      'or resample them alike', list(unequal))


def find_odd_sizes(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Pairs of another size than most of the split, which do not fit into one batch with them."""
    sizes = {pair.name: pair.files['A'].size for pair in split.pairs if 'A' in pair.files and pair.files['A'].size}
    if len(set(sizes.values())) > 1:
        (usual, _), = Counter(sizes.values()).most_common(1)
        odd = [name for name, size in sizes.items() if size != usual]
        yield Finding('odd_size', WARNING, split.name, f'not {usual[0]} x {usual[1]} px as most pairs of the split, so '
                      'that a batch cannot hold both; use a pipeline that crops, or batch_size=1 for validation', odd)


def find_wrong_modes(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Images that are not 8-bit RGB, and labels of more than one channel."""
    deep = [file for _, file in split.each_file('A', 'B') if file.refused]
    if deep:
        yield Finding('mode', ERROR, split.name, f'more than 8 bits per channel. The first: {deep[0].refused}',
                      [file.path for file in deep])
    for roles, modes, effect in ((('A', 'B'), _IMAGE_MODES, 'grey is repeated to three channels and alpha is dropped'),
                                 (('label', ), _LABEL_MODES, 'only labels of which all channels agree can be read')):
        odd = [file for _, file in split.each_file(*roles) if file.mode and file.mode not in modes and not file.refused]
        if odd:
            found = ', '.join(sorted({file.mode for file in odd}))
            yield Finding('mode', WARNING, split.name, f'pixels of mode {found}, expected {" or ".join(modes)}; '
                          f'{effect}', [file.path for file in odd])


def find_blank_images(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Images that are black, white or of one colour for the most part."""
    blank = [pair.files[role].path for pair in split.pairs for role, share in pair.blank.items()
             if share > limits.max_blank]
    if blank:
        yield Finding('blank_image', WARNING, split.name, f'more than {limits.max_blank:.0%} of the image is black, '
                      'white or one colour: the border of a scene, or a failed conversion; leave the pair out', blank)


def find_identical_dates(split: SplitFacts, limits: Limits) -> Iterator[Finding]:
    """Pairs whose two images are one and the same."""
    same = [pair for pair in split.pairs
            if {'A', 'B'} <= pair.files.keys() and pair.files['A'].digest == pair.files['B'].digest != ''
            and pair.blank.get('A', 0) <= limits.max_blank]
    if same:
        changed = sum(pair.changed_pixels > 0 for pair in same)
        yield Finding('identical_dates', ERROR if changed else WARNING, split.name, 'A and B are the same picture, '
                      f'though {changed} of these labels mark a change; replace the one that is wrong',
                      [pair.name for pair in same])
