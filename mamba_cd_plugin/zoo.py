"""Weights that come with the package: found by name, each with a card that says what they are and are good for.

A card lies in ``mamba_cd_plugin/weights`` as ``NAME.json``, beside the file that it names. ``mamba-cd publish --half
--card`` writes both. Nothing here imports torch.
"""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

WEIGHTS = Path(__file__).resolve().parent / 'weights'
# What `mamba-cd predict` takes where no checkpoint is named.
STARTER = 'cdmamba_v8_small'
# Digits of a checksum in a table: enough to compare by eye; the card has them all.
SHOWN_DIGITS = 12


class Score(NamedTuple):
    """How good weights are on one data set, by one protocol.

    Attributes:
        data: The data set, its split, and how many images.
        protocol: How it was tested, such as ``256 x 256 tiles`` or ``whole images``.
        F1: F1 of the changed class in percent, as the others.
        precision: None where it was not measured.
        recall: None where it was not measured.
    """
    data: str
    protocol: str
    F1: float
    precision: float | None = None
    recall: float | None = None


class Card(NamedTuple):
    """What is known of packaged weights.

    Attributes:
        name: Name of the weights.
        file: Name of the weight file, with the hash of its content.
        size: Its bytes.
        sha256: Its checksum, 64 hexadecimal digits.
        config: Name of the config whose model they belong to.
        trained_on: The data, in a few words that follow "trained on".
        datasets: Short names of the data sets, for catalogues.
        recipe: The command that trained them.
        commit: Commit of this repository with which they were trained.
        scores: What was measured.
        good_for: What they may be used for, in one or two sentences.
        limits: What they are not good for, in one or two sentences.
        licence: Licence of the weights: its SPDX name, or a few words.
        terms: What it asks of a user, in one sentence; said wherever the weights are used.
    """
    name: str
    file: str
    size: int
    sha256: str
    config: str
    trained_on: str
    datasets: list[str]
    recipe: str
    commit: str
    scores: list[Score]
    good_for: str
    limits: str
    licence: str
    terms: str

    @property
    def path(self) -> Path:
        """The weight file."""
        return WEIGHTS / self.file


def make_card(name: str, fields: Mapping[str, Any]) -> Card:
    """A card from what its JSON file holds.

    Args:
        name: Name of the weights.
        fields: The attributes of :class:`Card` but the name; a score is an object with those of :class:`Score`.

    Raises:
        TypeError: If a key is missing, unknown, or its value is of another type.
        ValueError: If the checksum is none, a text is empty, or an F1 is no percentage.
    """
    card = Card(name=name, **fields)
    kinds: dict[str, type] = {**dict.fromkeys(Card._fields, str), 'size': int, 'datasets': list, 'scores': list}
    for key, kind in kinds.items():
        value = getattr(card, key)
        if not isinstance(value, kind):
            raise TypeError(f'{key}: expected {kind.__name__}, got {type(value).__name__}')
        if not value:
            raise ValueError(f'{key} is empty')
    if len(card.sha256) != 64 or set(card.sha256) - set('0123456789abcdef'):
        raise ValueError(f'sha256: expected 64 hexadecimal digits, got {card.sha256!r}')
    objects: list[Any] = card.scores
    scores = [Score(**score) for score in objects]
    for score in scores:
        if not 0 <= score.F1 <= 100:
            raise ValueError(f'scores: expected an F1 in percent, got {score.F1}')
    return card._replace(scores=scores)


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        ValueError: If it is not JSON, or has other keys than a card.
    """
    try:
        return make_card(path.stem, json.loads(path.read_text(encoding='utf-8')))
    except (TypeError, ValueError) as error:
        keys = ', '.join(Card._fields[1:])
        raise ValueError(f'{path}: expected a JSON object with exactly the keys {keys}: {error}') from error


def card_fields(card: Card) -> dict[str, Any]:
    """What the JSON file of a card holds; :func:`make_card` makes the card of it again."""
    fields = dict(card._asdict(), scores=[score._asdict() for score in card.scores])
    del fields['name']
    return fields


def list_weights() -> dict[str, Card]:
    """The cards of all packaged weights, by name.

    Raises:
        ValueError: If a card is not as it must be.
    """
    cards = map(read_card, sorted(WEIGHTS.glob('*.json')))
    return {card.name: card for card in cards}


def resolve_checkpoint(name: str | Path) -> str:
    """The checkpoint that is meant by a path, an address or the name of packaged weights.

    A path that exists wins over a name, so that a file is never silently replaced by another.

    Args:
        name: Such as ``work_dirs/x/best_changed_F1.pth``, ``https://...``, or ``cdmamba_v8_small``.

    Returns:
        A path or an address. One that does not exist is given back as it is where it looks like a path, for whoever
        reads it to say so.

    Raises:
        FileNotFoundError: If it looks like a name, and there are no such weights, or their file is missing.
    """
    text = str(name)
    if '://' in text or Path(text).expanduser().exists():
        return text
    cards = list_weights()
    if text in cards:
        if not cards[text].path.is_file():
            raise FileNotFoundError(f'weights {text}: their file {cards[text].path} is missing; install the package '
                                    'again')
        return str(cards[text].path)
    if Path(text).suffix or Path(text).name != text:
        return text
    there = f'the package has {", ".join(cards)}' if cards else 'the package has none'
    raise FileNotFoundError(f'checkpoint {text}: there is no such file, and no weights of that name; {there}')


def describe_weights(path: str | None) -> tuple[str, ...]:
    """What the card says of packaged weights, for the log; empty for any other checkpoint."""
    card = next((card for card in list_weights().values() if str(card.path) == path), None)
    if card is None:
        return ()
    return (f'weights {card.name}, trained on {card.trained_on}', card.good_for,
            f'Licence of the weights: {card.licence}. {card.terms}')


TABLE_HEAD = ('weights', 'trained on', 'F1 of the changed class, %', 'licence', 'size', 'SHA-256')


def tabulate_weights() -> list[tuple[str, ...]]:
    """A row for each of the packaged weights, with the columns of TABLE_HEAD."""
    return [(card.name, card.trained_on,
             '; '.join(f'{score.F1:.1f} on {score.data}, {score.protocol}' for score in card.scores), card.licence,
             f'{card.size / 1e6:.1f} MB', card.sha256[:SHOWN_DIGITS]) for card in list_weights().values()]
