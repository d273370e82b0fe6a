"""Publishing a checkpoint: one small file with weights, config and scores."""
import hashlib
import io
from pathlib import Path
from typing import Optional

import torch
from mmengine.config import Config, ConfigDict

from ..engine.config_text import untrusted_model_config
from ..inference.models import HASH_LENGTH, VERSION_KEY, build_model, config_of, load_weights, read_checkpoint
from ..io.files import whole_file
from ..version import __version__

# The keys of a config that are published: the model and its training. The rest are paths and settings of the machine.
KEPT_KEYS = ('default_scope', 'custom_imports', 'model', 'tta_model', 'optim_wrapper', 'param_scheduler', 'train_cfg',
             'randomness')
CLASSES = ('unchanged', 'changed')


def publish(checkpoint_path: str, out: Path, cfg: Optional[Config] = None, metrics: Optional[dict] = None) -> Path:
    """Write weights, config, metrics and class names into one file whose name ends in the hash of its content.

    The optimizer, the logs and the paths of the training stay behind. The same checkpoint gives the same file.

    Args:
        checkpoint_path: A training checkpoint.
        out: Where to write; ``cdmamba.pth`` becomes ``cdmamba-<hash>.pth``.
        cfg: The config, where the checkpoint has none.
        metrics: Scores to write beside those of the last validation, or in their place.

    Returns:
        The path of the file.

    Raises:
        ValueError: If the checkpoint is refused, or its weights do not fit its config.
    """
    checkpoint = read_checkpoint(checkpoint_path)
    own = cfg if cfg is not None else config_of(checkpoint, checkpoint_path)
    model_cfg = untrusted_model_config(own, f'checkpoint {checkpoint_path}')
    model = build_model(model_cfg, checkpoint_path)
    load_weights(model, checkpoint, checkpoint_path)
    kept = {key: own[key] for key in KEPT_KEYS if key in own}
    text = Config(dict(kept, model=ConfigDict(model_cfg).to_dict())).pretty_text
    meta = {
        'cfg': text,
        'metrics': {**validation_metrics(checkpoint), **(metrics or {})},
        'dataset_meta': (checkpoint.get('meta') or {}).get('dataset_meta') or dict(classes=CLASSES),
        VERSION_KEY: __version__,
    }
    # Into memory: torch writes the name of the file into the file.
    buffer = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=model.state_dict()), buffer)
    content = buffer.getvalue()
    final = out.with_name(f'{out.stem}-{hashlib.sha256(content).hexdigest()[:HASH_LENGTH]}.pth')
    with whole_file(final) as part:
        part.write_bytes(content)
    return final


def validation_metrics(checkpoint: dict) -> dict:
    """The scores of the validation after which a training checkpoint was saved; empty where it holds none."""
    published = (checkpoint.get('meta') or {}).get('metrics')
    if published:
        return dict(published)
    scalars = (checkpoint.get('message_hub') or {}).get('log_scalars') or {}
    return {key.split('/', 1)[1]: round(float(history.current()), 6) for key, history in sorted(scalars.items())
            if key.startswith('val/') and 'time' not in key}
