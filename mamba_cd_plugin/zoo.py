"""Weights that come with the package: found by name, each with a card that says what they are good for.

A card lies in ``mamba_cd_plugin/weights`` as ``NAME.json``, beside the file that it names, which ``mamba-cd publish
--half`` has written. Nothing here imports torch.
"""
import json
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

WEIGHTS = Path(__file__).resolve().parent / 'weights'
# What `mamba-cd predict` takes where no checkpoint is named.
STARTER = 'cdmamba_v8_small'


class Card(NamedTuple):
    """What is known of packaged weights.

    Attributes:
        name: Name of the weights.
        file: Name of the weight file, with the hash of its content.
        config: Name of the config they were trained with.
        trained_on: The data.
        good_for: Intended use and its limits, in one or two sentences.
        scores: Measured scores by what they were measured on.
        licence: Licence of the weights.
    """
    name: str
    file: str
    config: str
    trained_on: str
    good_for: str
    scores: Dict[str, Any]
    licence: str

    @property
    def path(self) -> Path:
        """The weight file."""
        return WEIGHTS / self.file


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        ValueError: If it is not JSON, or has other keys than a card.
    """
    try:
        return Card(name=path.stem, **json.loads(path.read_text(encoding='utf-8')))
    except (TypeError, ValueError) as error:
        keys = ', '.join(Card._fields[1:])
        raise ValueError(f'{path}: expected a JSON object with exactly the keys {keys}: {error}') from error


def list_weights() -> Dict[str, Card]:
    """The cards of all packaged weights, by name.

    Raises:
        ValueError: If a card is not as it must be.
        FileNotFoundError: If the file that a card names is not there.
    """
    cards = map(read_card, sorted(WEIGHTS.glob('*.json')))
    found = {card.name: card for card in cards}
    missing = [str(card.path) for card in found.values() if not card.path.is_file()]
    if missing:
        raise FileNotFoundError(f'weights without a file: {", ".join(missing)}; install the package again')
    return found


def resolve_checkpoint(name: Union[str, Path]) -> str:
    """The checkpoint that is meant by a path, an address or the name of packaged weights.

    A path that exists wins over a name, so that a file is never silently replaced by another.

    Args:
        name: Such as ``work_dirs/x/best_changed_F1.pth``, ``https://...``, or ``cdmamba_v8_small``.

    Returns:
        A path or an address. One that does not exist is given back as it is where it looks like a path, for whoever
        reads it to say so.

    Raises:
        FileNotFoundError: If it looks like a name, and there are no such weights.
    """
    text = str(name)
    if '://' in text or Path(text).expanduser().exists():
        return text
    cards = list_weights()
    if text in cards:
        return str(cards[text].path)
    if Path(text).suffix or Path(text).name != text:
        return text
    there = f'the package has {", ".join(cards)}' if cards else 'the package has none'
    raise FileNotFoundError(f'checkpoint {text}: there is no such file, and no weights of that name; {there}')


def describe_weights(path: Optional[str]) -> Tuple[str, ...]:
    """What the card says of packaged weights, for the log; empty for any other checkpoint."""
    card = next((card for card in list_weights().values() if str(card.path) == path), None)
    if card is None:
        return ()
    return (f'weights {card.name}, trained on {card.trained_on}', card.good_for)
