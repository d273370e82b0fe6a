"""Checks of what is there: folders, mates, strays, damaged files."""
from typing import Iterator

from ..listing import ROLES
from .finding import ERROR, WARNING, Finding, Limits, SplitFacts


def find_interrupted_conversions(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Splits that a conversion has not finished."""
    if split.name.endswith('.partial'):
        yield Finding('interrupted', ERROR, split.name, 'the conversion of this split was interrupted or lacks files '
                      'of the download; run the same command again')


def find_missing_folders(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Roles without a folder."""
    for folder in split.listing.missing_folders:
        yield Finding('missing_folder', ERROR, split.name, 'the folder does not exist; add it, or set data_prefix of '
                      'the data set to where these files are', [folder])


def find_missing_mates(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Pairs that lack one or two of their three files."""
    names = split.listing.names + split.listing.unlisted
    for role in ROLES:
        lacking = [name for name in names if name not in split.listing.files[role]]
        if lacking and len(lacking) < len(names):
            yield Finding('missing_mate', ERROR, split.name, f'no file in {role}, though the others or the list of the '
                          'split have the name; add it or remove its mates', lacking)


def find_extra_files(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Files that are no images, and second files of one name."""
    if split.listing.strays:
        yield Finding('extra_file', WARNING, split.name, 'not an image, so that it is left out; remove it, or convert '
                      'it to PNG', split.listing.strays)
    if split.listing.doubles:
        yield Finding('extra_file', ERROR, split.name, 'a second file of the same name with another suffix, so that it '
                      'is not clear which belongs to the pair; remove one', split.listing.doubles)


def find_unreadable_files(split: SplitFacts, _: Limits) -> Iterator[Finding]:
    """Files that cannot be decoded to their end."""
    broken = [file for _, file in split.each_file(*ROLES) if file.unreadable]
    if broken:
        yield Finding('unreadable', ERROR, split.name, 'cannot be decoded; get it again. The first: '
                      f'{broken[0].unreadable}', [file.path for file in broken])
