"""Publishing a checkpoint: one small file with weights, config and scores."""
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from ..datasets import PairCDDataset
from ..engine.config_text import untrusted_model_config
from ..engine.safetensors_file import SUFFIX, safetensors_bytes
from ..evaluation import Calibration, calibrate, logit_histogram
from ..inference.checkpoints import HASH_LENGTH, VERSION_KEY, build_model, config_of, load_weights, read_checkpoint
from ..io.files import whole_file
from ..version import __version__

# The keys of a config that are published: the model and its training. The rest are paths and settings of the machine.
KEPT_KEYS = ('default_scope', 'custom_imports', 'model', 'tta_model', 'optim_wrapper', 'param_scheduler', 'train_cfg',
             'randomness')
CLASSES = ('unchanged', 'changed')
FORMATS = ('.pth', SUFFIX)


def publish(checkpoint_path: str,
            out: Path,
            cfg: Config | None = None,
            metrics: dict | None = None,
            calibration_data: str | None = None,
            calibration_split: str = 'val',
            choose_threshold: bool = False,
            device: str = 'cpu',
            half: bool = False) -> Path:
    """Write weights, config, metrics and class names into one file whose name ends in the hash of its content.

    The optimizer, the logs and the paths of the training stay behind. The same checkpoint gives the same file.

    Args:
        checkpoint_path: A training checkpoint.
        out: Where to write; ``cdmamba.pth`` becomes ``cdmamba-<hash>.pth``. A ``.safetensors`` file has the same
            content, and nobody has to unpickle it: what is no tensor is JSON in its metadata.
        cfg: The config, where the checkpoint has none.
        metrics: Scores to write beside those of the last validation, or in their place.
        calibration_data: Folder of LEVIR layout on which a temperature is chosen, so that probabilities mean what they
            say. The last layer is divided by it: prediction, export and report have it without knowing of it, and
            what is called changed stays the same.
        calibration_split: Split of that folder; never one that was trained on, nor the one whose scores are reported.
        choose_threshold: Also put the threshold with the highest F1 on that split into the config.
        device: Device for the calibration.
        half: Store matrices and kernels as float16, for half the size; they are cast to float32 when they are loaded.
            Vectors (biases, norms and their running variances, of which some are too small for it) stay float32.

    Returns:
        The path of the file.

    Raises:
        ImportError: If it is to be .safetensors, and that package is missing.
        ValueError: If the checkpoint is refused, its weights do not fit its config, or the file has another suffix.
    """
    if out.suffix not in FORMATS:
        raise ValueError(f'{out}: expected a file that ends in {" or ".join(FORMATS)}')
    checkpoint = read_checkpoint(checkpoint_path)
    own = cfg if cfg is not None else config_of(checkpoint, checkpoint_path)
    model_cfg = untrusted_model_config(own, f'checkpoint {checkpoint_path}')
    model = build_model(model_cfg, checkpoint_path)
    load_weights(model, checkpoint, checkpoint_path)
    calibration = published_calibration(checkpoint)
    if calibration_data is not None:
        found = calibrate_model(model.to(device).eval(), calibration_data, calibration_split)
        model.cpu()
        divide_logits(model, found.temperature)
        if choose_threshold:
            model_cfg.decode_head.threshold = round(found.threshold, 4)
        calibration = {key: round(value, 6) for key, value in found._asdict().items()}
        # In published weights that were calibrated before, only what is missing to the new temperature was found now.
        calibration['temperature'] *= published_calibration(checkpoint).get('temperature', 1.)
    kept = {key: own[key] for key in KEPT_KEYS if key in own}
    text = Config(dict(kept, model=ConfigDict(model_cfg).to_dict())).pretty_text
    meta = {
        'cfg': text,
        'metrics': {**validation_metrics(checkpoint), **(metrics or {})},
        'dataset_meta': (checkpoint.get('meta') or {}).get('dataset_meta') or dict(classes=CLASSES),
        VERSION_KEY: __version__,
    }
    if calibration:
        meta['calibration'] = calibration
    weights = {name: value.half() if half and value.is_floating_point() and value.dim() > 1 else value
               for name, value in model.state_dict().items()}
    content = safetensors_bytes(weights, meta) if out.suffix == SUFFIX else pickle_bytes(weights, meta)
    final = out.with_name(f'{out.stem}-{hashlib.sha256(content).hexdigest()[:HASH_LENGTH]}{out.suffix}')
    with whole_file(final) as part:
        part.write_bytes(content)
    return final


def pickle_bytes(weights: dict, meta: dict) -> bytes:
    """The content of a .pth file. It is made in memory because torch writes the name of a file into the file."""
    buffer = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=weights), buffer)
    return buffer.getvalue()


def published_calibration(checkpoint: dict) -> dict:
    """What a published checkpoint says of its calibration; empty where it says nothing."""
    return dict((checkpoint.get('meta') or {}).get('calibration') or {})


@torch.no_grad()
def divide_logits(model: Any, temperature: float) -> None:
    """Divide the weights and the bias of the layer that gives the logits."""
    head: Any = model.decode_head
    for parameter in head.conv_seg.parameters():
        parameter /= temperature


@torch.inference_mode()
def calibrate_model(model: Any, data_root: str, split: str) -> Calibration:
    """Choose temperature and threshold of a model on a split of a data set.

    Args:
        model: An mmseg segmentor in evaluation mode.
        data_root: Folder of LEVIR layout.
        split: Split of that folder.

    Raises:
        FileNotFoundError: If there is no such data.
        ValueError: If the split holds no change, or nothing but change.
    """
    pipeline = [dict(type=name) for name in ('LoadImagePair', 'LoadChangeLabel', 'PackSegInputs')]
    dataset: PairCDDataset = DATASETS.build(
        dict(type='mmseg.PairCDDataset', data_root=data_root, split=split, pipeline=pipeline, test_mode=True))
    histogram = np.int64(0)
    preprocess: Any = model.data_preprocessor
    for sample in dataset:
        inputs = preprocess(dict(inputs=[sample['inputs']]), False)['inputs']
        truth = sample['data_samples'].gt_sem_seg.data.squeeze(0).numpy()
        histogram = histogram + logit_histogram(model(inputs)[0, 0].float().cpu().numpy(), truth)
    found = calibrate(histogram)
    print_log(
        f'Calibration on {len(dataset)} pairs of {data_root}, {split}: temperature {found.temperature:.3f}, negative '
        f'log-likelihood {found.nll_before:.4f} -> {found.nll_after:.4f}; F1 {100 * found.f1_before:.2f} % at 0.5, '
        f'{100 * found.f1_after:.2f} % at {found.threshold:.3f}', logger='current')
    return found


def validation_metrics(checkpoint: dict) -> dict:
    """The scores of the validation after which a training checkpoint was saved; empty where it holds none."""
    published = (checkpoint.get('meta') or {}).get('metrics')
    if published:
        return dict(published)
    scalars = (checkpoint.get('message_hub') or {}).get('log_scalars') or {}
    return {key.split('/', 1)[1]: round(float(history.current()), 6) for key, history in sorted(scalars.items())
            if key.startswith('val/') and 'time' not in key}
