"""What goes with published weights: their card, and a folder in Hugging Face's layout."""
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from ..engine.safetensors_file import SUFFIX, safetensors_bytes
from ..inference.checkpoints import VERSION_KEY, config_of, read_checkpoint
from ..io.files import OutputFolder, whole_file
from ..zoo import Card, card_fields, make_card, read_card
from .publish import published_calibration

# What follows from the file itself.
DERIVED = ('file', 'size', 'sha256')
# The licences that the hub knows by these names; any other is "other" there, with a name.
# https://huggingface.co/docs/hub/repositories-licenses
HUB_LICENCES = ('apache-2.0', 'mit', 'bsd-3-clause', 'cc-by-4.0', 'cc-by-sa-4.0', 'cc-by-nc-4.0', 'cc-by-nc-sa-4.0')
HUB_TAGS = ['change-detection', 'remote-sensing', 'satellite-imagery', 'state-space-model', 'mmsegmentation']
MODEL, CONFIG, README = f'model{SUFFIX}', 'config.json', 'README.md'


def check_card_fields(fields_file: Path) -> dict:
    """Read what somebody wrote for a card, before the weights are published.

    Args:
        fields_file: A JSON object with the keys of :class:`~mamba_cd_plugin.zoo.Card`, but for those of DERIVED.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, or not a card's.
    """
    try:
        fields = json.loads(fields_file.read_text('utf-8'))
        if not isinstance(fields, dict):
            raise TypeError(f'expected a JSON object, got {type(fields).__name__}')
        given = [key for key in DERIVED if key in fields]
        if given:
            raise ValueError(f'{", ".join(given)} follow from the weight file; leave them out')
        make_card('x', dict(fields, file='x', size=1, sha256='0' * 64))
    except (TypeError, ValueError) as error:
        keys = ', '.join(key for key in Card._fields[1:] if key not in DERIVED)
        raise ValueError(f'{fields_file}: expected a JSON object with exactly the keys {keys}: {error}') from error
    return fields


def write_card(weights: Path, name: str, fields_file: Path) -> Path:
    """Write the card of published weights beside them.

    Args:
        weights: The published file.
        name: Name of the weights.
        fields_file: See :func:`check_card_fields`.

    Returns:
        The path of the card.

    Raises:
        FileExistsError: If a file of its name is there that is no card.
        ValueError: See :func:`check_card_fields`.
    """
    content = weights.read_bytes()
    derived = dict(file=weights.name, size=len(content), sha256=sha256(content).hexdigest())
    card = make_card(name, dict(check_card_fields(fields_file), **derived))
    path = weights.with_name(f'{name}.json')
    if path.exists():
        try:
            read_card(path)
        except ValueError as error:
            raise FileExistsError(f'{path}: would be overwritten, and is no card. Move it away') from error
    with whole_file(path) as part:
        part.write_text(json.dumps(card_fields(card), indent=2, ensure_ascii=False) + '\n', 'utf-8')
    return path


def write_release(card: Card, folder: Path) -> Path:
    """Write weights as a repository of models on the Hugging Face hub has them.

    ::

        folder/model.safetensors   weights, with config and scores in the metadata; what --checkpoint takes
               config.json         how to build the model and read its output
               README.md           the model card, with the hub's metadata block

    Args:
        card: Card of packaged weights.
        folder: Made if missing.

    Returns:
        The folder.

    Raises:
        FileExistsError: If files of these names are there that were not made here.
        ValueError: If the weights are refused, or are not those of the card.
    """
    found = sha256(card.path.read_bytes()).hexdigest()
    if found != card.sha256:
        raise ValueError(f'{card.path}: has the SHA-256 {found}, but its card says {card.sha256}')
    checkpoint = read_checkpoint(str(card.path))
    if VERSION_KEY not in checkpoint['meta']:
        raise ValueError(f'{card.path}: expected a file of `mamba-cd publish`')
    content = card.path.read_bytes() if card.path.suffix == SUFFIX else \
        safetensors_bytes(checkpoint['state_dict'], checkpoint['meta'])
    outputs = OutputFolder(folder)
    outputs.claim([MODEL, CONFIG, README])
    config = json.dumps(hub_config(card, checkpoint), indent=2, ensure_ascii=False) + '\n'
    for name, data in ((MODEL, content), (CONFIG, config.encode()), (README, model_card(card).encode())):
        with outputs.write(name) as part:
            part.write_bytes(data)
    return folder


def hub_config(card: Card, checkpoint: dict) -> dict[str, Any]:
    """What a program needs to know of the model, as JSON values."""
    meta = checkpoint['meta']
    model = config_of(checkpoint, card.file).model
    return {
        'library_name': 'mamba_cd_plugin', 'library_version': meta[VERSION_KEY], 'name': card.name,
        'config': card.config, 'model': model.to_dict(),
        'input': 'two registered RGB images of one place, values 0..255, the earlier one first',
        'classes': list(meta['dataset_meta']['classes']), 'threshold': model.decode_head.threshold,
        'calibration': published_calibration(checkpoint), 'metrics': meta['metrics'],
    }


def model_card(card: Card) -> str:
    """The README of a release: the hub's metadata block, then the card in words."""
    block = yaml.safe_dump(hub_metadata(card), sort_keys=False, allow_unicode=True, width=120)
    rows = [[score.data, score.protocol, *('' if value is None else f'{value:.1f}' for value in score[2:])]
            for score in card.scores]
    table = '\n'.join(f'| {" | ".join(row)} |' for row in (
        ['data', 'protocol', 'F1, %', 'precision, %', 'recall, %'], ['---', '---', '---:', '---:', '---:'], *rows))
    return f'''---
{block}---

# {card.name}

Finds the buildings that appeared or vanished between two satellite images of one place. The model is that of the config
`{card.config}` of mamba_cd_plugin, trained on {card.trained_on}.

{card.good_for}

**Limits.** {card.limits}

## Use

    mamba-cd predict before.tif after.tif --checkpoint {MODEL} --out changes

```python
from mamba_cd_plugin import ChangeDetectionInferencer
result = ChangeDetectionInferencer('{MODEL}')((before, after))['predictions'][0]  # uint8 RGB arrays (H, W, 3)
mask, probability = result['mask'], result['probability']
```

## Scores

Of the changed class, from one confusion matrix over all pixels.

{table}

## Training

Commit {card.commit} of mamba_cd_plugin:

    {card.recipe}

## Licence

{card.licence}. {card.terms}
'''


def hub_metadata(card: Card) -> dict[str, Any]:
    """The metadata block of a model card, https://huggingface.co/docs/hub/model-cards."""
    licence = card.licence.lower()
    known = dict(license=licence) if licence in HUB_LICENCES else dict(
        license='other', license_name=re.sub(r'[^a-z0-9.]+', '-', licence).strip('-'),
        license_link=f'{README}#licence')
    results = [dict(
        task=dict(type='image-segmentation', name='change detection'),
        dataset=dict(type=re.sub(r'[^a-z0-9]+', '-', score.data.lower()).strip('-'),
                     name=f'{score.data}, {score.protocol}'),
        metrics=[dict(type=kind.lower(), name=f'{kind} of the changed class, %', value=value)
                 for kind, value in zip(score._fields[2:], score[2:]) if value is not None]) for score in card.scores]
    return {**known, 'library_name': 'mamba_cd_plugin', 'pipeline_tag': 'image-segmentation', 'tags': HUB_TAGS,
            'datasets': card.datasets, 'metrics': ['f1', 'precision', 'recall'],
            'model-index': [dict(name=card.name, results=results)]}
