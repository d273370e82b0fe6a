"""The inferencer: a checkpoint and two images in, a change map out."""
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.infer.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from .. import register_all_modules
from ..engine.checkpoint import find_checkpoint
from ..zoo import STARTER, list_weights
from .checkpoints import WEIGHT_SUFFIXES, load_model, read_named_config
from .job import MemorySink, Spool, Strip, complete_summary, make_folder
from .models import TileModel
from .outputs import OutputOptions, check_outputs, write_outputs
from .overview import draw_overview
from .pairs import Image, PairSource, ReadOptions, find_pairs, open_pair
from .windows import PredictOptions, predict_tiled

Pair = tuple[Image, Image]


class Prediction(NamedTuple):
    """A predicted pair.

    Attributes:
        source: The pair.
        strip: The whole result, if it is kept in memory.
        spool: The result on disk, if files are written.
    """
    source: PairSource
    strip: Strip | None = None
    spool: Spool | None = None


class ChangeDetectionInferencer(BaseInferencer):
    """Predicts what changed between two images of any size.

    ::

        pair -> preprocess: open, bring B onto A's grid -> forward: windows, blended -> visualize: overview ->
        postprocess: files

    A published checkpoint (``tools/misc/publish_model.py``), a training checkpoint or an exported ``.onnx`` is all
    that it needs. Nothing in a checkpoint is run, see ``mamba_cd_plugin.engine.checkpoint``.

    Args:
        model: A config file or config, where the checkpoint has none; or the checkpoint itself. Without model and
            weights, the starter weights of the package.
        weights: The checkpoint, a model of ``mamba-cd export``, or the name of weights of the package.
        device: Such as 'cpu' or 'cuda:0'; the best there is by default.
        scope: mmengine's registry scope.
        show_progress: Whether to show a progress bar.

    Examples:
        >>> inferencer = ChangeDetectionInferencer('cdmamba.pth')
        >>> inferencer(('2019.tif', '2023.tif'), out_dir='changes')
        >>> inferencer((array_a, array_b))['predictions'][0]['mask']
    """

    preprocess_kwargs = set(ReadOptions._fields)
    forward_kwargs = {*PredictOptions._fields, 'fresh'} - {'batch_size'}
    visualize_kwargs = {'return_vis'}
    postprocess_kwargs = set(OutputOptions._fields)

    def __init__(self,
                 model: str | Path | dict | Config | None = None,
                 weights: str | Path | None = None,
                 device: str | None = None,
                 scope: str = 'mmseg',
                 show_progress: bool = True) -> None:
        if weights is None and (str(model).endswith(WEIGHT_SUFFIXES) or str(model) in list_weights()):
            model, weights = None, str(model)
        if model is None and weights is None:
            weights = STARTER
        weights = None if weights is None else find_checkpoint(weights)
        if isinstance(model, (str, Path)):
            model = read_named_config(str(model))
        register_all_modules(init_default_scope=False)
        init_default_scope(scope)
        super().__init__(model, weights, device, scope, show_progress)

    def _init_model(self, cfg: ConfigDict, weights: str | None, device: str = 'cpu') -> TileModel:
        """A model for windows in the place of mmengine's, which carries on with a warning where weights do not fit."""
        return load_model(cfg, weights, device)

    def _init_pipeline(self, cfg: ConfigDict) -> Callable[..., PairSource]:
        return open_pair

    def _init_collate(self, cfg: ConfigDict) -> None:
        """None: batches are made of windows, not of samples."""

    def _init_visualizer(self, cfg: ConfigDict) -> None:
        """None: the overview of a large raster is drawn from strips, not from a sample in memory."""

    def __call__(self,
                 inputs: Pair | Sequence[Pair],
                 out_dir: str | None = None,
                 return_datasamples: bool = False,
                 batch_size: int | None = None,
                 **kwargs: Any) -> dict:
        """Predict one pair, a list of pairs, or two folders of images.

        Args:
            inputs: (A, B): two files, two folders, or two images in memory (arrays (H, W, 3) or (3, H, W), masked
                arrays, tensors, Pillow's images); or a list of such pairs.
            out_dir: Folder of the results, see :class:`~.outputs.OutputOptions`. A run that was stopped goes on where
                it was; a finished one is not repeated. Without it the results are returned as arrays.
            return_datasamples: Give mmseg's SegDataSample instead of arrays; only without ``out_dir``.
            batch_size: Windows per step; by default what the memory allows.
            **kwargs: Fields of ReadOptions, PredictOptions and OutputOptions; ``fresh=True`` to begin anew;
                ``return_vis=True`` to get the overview as an array.

        Returns:
            ``predictions``: per pair the summary with the files (``out_dir``), or ``mask`` (0, 1, 255 nodata) and
            ``probability`` (NaN nodata); ``visualization``: per pair the overview, or None.
        """
        results: dict = dict(predictions=[], visualization=[])
        for prediction, visualization in self.each(inputs, out_dir, return_datasamples, batch_size, **kwargs):
            results['predictions'].append(prediction)
            results['visualization'].append(visualization)
        return results

    def each(self,
             inputs: Pair | Sequence[Pair],
             out_dir: str | None = None,
             return_datasamples: bool = False,
             batch_size: int | None = None,
             **kwargs: Any) -> Iterator[tuple[Any, np.ndarray | None]]:
        """Predict as a call does, and give each pair's prediction and visualization as soon as it is done.

        Nothing of it is kept, so that the memory does not grow with the pairs of a county.
        """
        reading, running, drawing, writing = self._dispatch_kwargs(**kwargs)
        fresh = running.pop('fresh', False)
        options = PredictOptions(batch_size=batch_size, **running).fitted_to(self.model)
        outputs = OutputOptions.given(writing)
        pairs = self._inputs_to_list(inputs)
        if return_datasamples and out_dir is not None:
            raise ValueError('return_datasamples: expected False where out_dir is given; results are files then')
        self._check_pairs(pairs, ReadOptions(**reading), outputs, out_dir)
        for pair in pairs:
            with self.preprocess(pair, **reading) as source:
                job = self._job(source, reading, options)
                done = complete_summary(Path(out_dir), source.name, [job, outputs]) if out_dir and not fresh else None
                if done is not None:
                    print_log(f'{source.name}: is already complete; --fresh predicts it again', logger='current')
                    yield done, None
                    continue
                if out_dir is not None:
                    check_outputs(Path(out_dir), source, outputs)
                prediction = self.forward(source, options, outputs, job, out_dir, fresh)
                picture = self.visualize(pair, prediction, **drawing)
                result = self.postprocess(prediction, None, return_datasamples, out_dir, outputs, job)
            del prediction  # of images in memory, while the caller has the result
            yield result, picture

    def _inputs_to_list(self, inputs: Pair | Sequence[Pair]) -> list[Pair]:
        """The inputs as a list of pairs."""
        if isinstance(inputs, (str, Path, dict)) or not hasattr(inputs, '__len__'):
            raise ValueError(f'expected a pair (A, B) of files, folders or arrays, or a list of pairs, got '
                             f'{type(inputs).__name__}')
        is_pair = len(inputs) == 2 and not any(isinstance(item, (list, tuple)) for item in inputs)
        pairs: list = []
        for number, pair in enumerate([inputs] if is_pair else inputs, 1):
            if isinstance(pair, (str, Path)) or len(pair) != 2:
                raise ValueError(f'item {number} of {len(inputs)}: expected a pair (A, B), got '
                                 f'{pair if isinstance(pair, (str, Path)) else f"{len(pair)} items"}')
            are_files = all(isinstance(image, (str, Path)) for image in pair)
            pairs += find_pairs(*pair) if are_files else [tuple(pair)]
        return pairs

    def _check_pairs(self, pairs: list[Pair], options: ReadOptions, outputs: OutputOptions,
                     out_dir: str | None) -> None:
        """Open all pairs once, so that a defect of the last is known before the first is predicted."""
        defects, names = [], []
        for pair in pairs if len(pairs) > 1 else []:
            try:
                with self.pipeline(*pair, options) as source:
                    names.append(source.name)
                    if out_dir is not None:
                        check_outputs(Path(out_dir), source, outputs)
            except (ValueError, OSError) as error:
                defects.append(str(error))
        if out_dir is not None:
            defects += [f'{name}: the results of {names.count(name)} pairs would have this name; predict them into '
                        'different folders' for name in dict.fromkeys(names) if names.count(name) > 1]
        if defects:
            raise ValueError(f'{len(defects)} of {len(pairs)} pairs cannot be predicted:\n' + '\n'.join(defects))

    def _job(self, source: PairSource, reading: dict, options: PredictOptions) -> dict:
        """Everything that determines the result; a run with another job does not resume this one."""
        return dict(model=self.model.identity, images=source.origin, reading=ReadOptions(**reading)._asdict(),
                    running=options._asdict())

    def preprocess(self, inputs: Pair, **kwargs: Any) -> PairSource:
        """Open a pair and say what was decided about it."""
        source = self.pipeline(*inputs, ReadOptions(**kwargs))
        for note in source.notes:
            print_log(f'{source.name}: {note}', logger='current')
        return source

    def forward(self, source: PairSource, options: PredictOptions, outputs: OutputOptions, job: dict,
                out_dir: str | None, fresh: bool) -> Prediction:
        """Predict a pair window by window, into memory or into the spool of ``out_dir``."""
        if out_dir is None:
            sink = MemorySink()
            predict_tiled(source, self.model, options, sink, self.show_progress)
            return Prediction(source, strip=sink.result())
        make_folder(Path(out_dir))
        folder = Path(out_dir) / f'.{source.name}.partial'
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        spool = Spool(folder, (source.height, source.width), outputs.stored_probability, job)
        if spool.next_row:
            print_log(f'{source.name}: resumes at row {spool.rows_done:,} of {source.height:,}', logger='current')
        predict_tiled(source, self.model, options, spool, self.show_progress)
        return Prediction(source, spool=spool)

    def visualize(self, inputs: Pair, preds: Prediction, return_vis: bool = False,
                  **kwargs: Any) -> np.ndarray | None:
        """The overview of a prediction, if requested."""
        if not return_vis:
            return None
        return draw_overview(preds.source, preds.strip.mask if preds.spool is None else preds.spool.open('mask'))

    def postprocess(self, preds: Prediction, visualization: None, return_datasample: bool, out_dir: str | None,
                    outputs: OutputOptions, job: dict) -> dict | SegDataSample:
        """Write the files of a prediction, or hand out its arrays."""
        if preds.spool is not None:
            return write_outputs(Path(out_dir), preds.source, preds.spool, outputs, [job, outputs])
        if not return_datasample:
            return preds.strip._asdict()
        data = {'pred_sem_seg': preds.strip.mask, 'seg_logits': preds.strip.probability}
        sample = SegDataSample(metainfo=dict(img_shape=preds.strip.mask.shape))
        sample.set_data({key: PixelData(data=torch.from_numpy(value)[None]) for key, value in data.items()})
        return sample
