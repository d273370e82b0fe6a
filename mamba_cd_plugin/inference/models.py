"""Models as prediction sees them: windows of a pair go in, change probabilities come out."""
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Windows start at multiples of the encoder's deepest stride, so that every window downsamples the same pixels together
# as the whole image would.
ALIGN = 32
# Key of the model's properties under which tools/export.py stores what prediction needs to know.
PROPERTIES = 'mamba_cd_plugin'
# The views that are averaged: those of the configs' tta_pipeline, so that `tools/test.py --tta` has scored what
# is predicted here.
FLIPS = ((), (2, ), (1, ))
# Of the free memory of a GPU; the rest is for fragments and for what else runs there.
MEMORY_SHARE = 0.7
MAX_BATCH = 32  # a GPU is filled long before
# A step of a CPU: more pixels at once fall out of its caches, and windows of 256 px gain a seventh in fours.
CPU_PIXELS = 512**2
MAX_SIDE = 1 << 14  # of the windows of an exported model; more would not fit into the memory of most machines
MAX_WORKERS = 4  # at CPU_PIXELS each, they take about 1 GB


class TileModel(ABC):
    """A model that predicts windows of a pair.

    Attributes:
        threshold: Probability above which a pixel is changed.
        fill: Colour (3,), uint8, of pixels without data: the mean colour of the training, which the model reads as 0.
        side: The only window side in pixels that the model takes; None if it takes any.
        align: Windows start at multiples of it. Where it is more than 1, the last window of a row or column is longer
            than the others by up to ``align - 1`` pixels.
        identity: Tells this model from any other, for resuming.
        name: Name in messages, such as that of its file.
    """

    threshold: float
    fill: np.ndarray
    side: int | None = None
    align: int = ALIGN
    identity: str
    name: str = 'the model'

    @abstractmethod
    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """uint8 RGB pairs (N, H, W, 6), A first, to change probabilities (N, H, W), float32."""

    def batch_size(self, tile: int) -> int:
        """How many windows of this side one step takes, as the memory allows."""
        return 1

    @contextmanager
    def workers(self, tile: int) -> Iterator[int]:
        """How many threads may call :meth:`predict` at once with windows of this side, inside this context."""
        yield 1

    def predict(self, pairs: np.ndarray, flips: bool) -> np.ndarray:
        """Change probabilities of a batch, with ``flips`` the mean over the views.

        Raises:
            ValueError: If one is NaN.
        """
        views = [np.flip(self.forward(np.ascontiguousarray(np.flip(pairs, axes))), axes)
                 for axes in (FLIPS if flips else FLIPS[:1])]
        mean = sum(views) / np.float32(len(views))
        if not np.isfinite(mean).all():
            raise ValueError(f'{self.name} gave NaN probabilities: its weights are damaged, or it diverged in '
                             'training')
        return mean


class TorchTileModel(TileModel):
    """An mmseg segmentor.

    Args:
        model: The segmentor, on its device.
        cfg: Config of the model, which is part of its identity.
        name: Name in messages.
    """

    def __init__(self, model: Any, cfg: dict, name: str = 'the model') -> None:
        self.model, self.name = model.eval(), name
        self.threshold = float(model.decode_head.threshold)
        self.fill = model.data_preprocessor.mean.flatten()[:3].round().byte().cpu().numpy()
        digest = sha256(repr(cfg).encode())
        for name, tensor in model.state_dict().items():
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        self.identity = digest.hexdigest()

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.inference_mode()
    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """uint8 RGB pairs (N, H, W, 6) to change probabilities (N, H, W).

        Raises:
            ValueError: If they do not fit into the memory of the GPU.
        """
        tensors = [torch.from_numpy(pair).permute(2, 0, 1) for pair in pairs]
        count, *shape = pairs.shape[:3]
        try:
            inputs = self.model.data_preprocessor(dict(inputs=tensors), False)['inputs']
            logits = self.model.encode_decode(inputs, [dict(img_shape=tuple(shape))] * count)
        except torch.cuda.OutOfMemoryError as error:
            raise ValueError(f'{count} windows of {shape[0]} x {shape[1]} px at once do not fit into the memory of '
                             f'{self._device}; choose a smaller --batch-size or --tile, or --device cpu') from error
        return logits.sigmoid()[:, 0].float().cpu().numpy()

    @contextmanager
    def workers(self, tile: int) -> Iterator[int]:
        """How many threads predict at once: on a CPU each takes its windows and a share of the cores.

        Threads that work on one window together wait for each other after every operator, and for long where other
        programs run: on two cores, each half taken, that made a window ten times slower.
        """
        cores = torch.get_num_threads()
        fitting = max(1, min(MAX_WORKERS, MAX_WORKERS * CPU_PIXELS // tile**2))
        count = min(cores, fitting) if self._device.type == 'cpu' else 1
        torch.set_num_threads(cores // count)
        try:
            yield count
        finally:
            torch.set_num_threads(cores)

    def batch_size(self, tile: int) -> int:
        """As many windows as fit into free GPU memory; on a CPU, where more is not faster, one large or a few small."""
        device = self._device
        if device.type != 'cuda':
            return max(1, CPU_PIXELS // tile**2)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        self.forward(np.zeros((1, tile, tile, 6), np.uint8))
        needed = torch.cuda.max_memory_allocated(device) - before
        torch.cuda.empty_cache()
        return batch_that_fits(torch.cuda.mem_get_info(device)[0], needed)


def batch_that_fits(free: int, needed: int) -> int:
    """How many windows fit into ``free`` bytes when one takes ``needed``; at least one."""
    return int(max(1, min(MAX_BATCH, MEMORY_SHARE * free // max(needed, 1))))


class OnnxTileModel(TileModel):
    """A model that ``tools/export.py`` wrote.

    It takes one size, or multiples of 32; what is smaller or odd is extended by reflection, as the model does by
    itself in training. So its windows are all of one size, wherever they then have to start.

    Args:
        path: The .onnx file.
        device: 'cpu', or 'cuda' where onnxruntime has that provider.

    Raises:
        ImportError: If onnxruntime is missing.
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a model of ``tools/export.py``.
    """

    align = 1

    def __init__(self, path: Path, device: str = 'cpu') -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f"running {path} needs onnxruntime: pip install 'mamba_cd_plugin[export]'") from error
        if not path.is_file():
            raise FileNotFoundError(f'model {path} does not exist')
        options = onnxruntime.SessionOptions()
        # The arena keeps the largest sizes for good; windows come and go, and memory must not grow.
        options.enable_cpu_mem_arena = False
        provider = 'CUDAExecutionProvider' if device.startswith('cuda') else 'CPUExecutionProvider'
        if provider not in onnxruntime.get_available_providers():  # it would run on the CPU instead
            raise ValueError(f'device {device!r} cannot be used for {path}: this onnxruntime has only '
                             f'{", ".join(onnxruntime.get_available_providers())}. Install onnxruntime-gpu, or choose '
                             '--device cpu')
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
            properties = self.session.get_modelmeta().custom_metadata_map
        except Exception as error:  # onnxruntime's own errors have no common base but this
            raise ValueError(f'{path}: cannot be read as an ONNX model: {error}') from error
        self.threshold, self.side, self.multiple, fill = self._read_properties(properties, path)
        self.fill = np.array(fill, np.uint8)
        self.identity = sha256(path.read_bytes()).hexdigest()
        self.name = str(path)

    @staticmethod
    def _read_properties(properties: dict, path: Path) -> tuple[float, int | None, int, list]:
        """How the file says that it is to be used: threshold, side, multiple and fill."""
        try:
            found = json.loads(properties[PROPERTIES])
            threshold, side, multiple, fill = (found[key] for key in ('threshold', 'side', 'multiple', 'fill'))
            sizes = [multiple] if side is None else [side, multiple]
            right = (isinstance(threshold, (int, float)) and 0 < threshold < 1
                     and all(type(size) is int and 0 < size <= MAX_SIDE for size in sizes)
                     and len(fill) == 3 and all(type(value) is int and 0 <= value <= 255 for value in fill))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f'{path}: was not written by tools/export.py, so its inputs are unknown; export it from '
                             'the checkpoint') from error
        if not right:
            raise ValueError(f'{path}: was altered since tools/export.py wrote it: threshold {threshold}, side {side}, '
                             f'multiple {multiple} and fill {fill} are no settings. Export it again')
        return threshold, side, multiple, fill

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """uint8 RGB pairs (N, H, W, 6) to change probabilities (N, H, W).

        Raises:
            ValueError: If the graph cannot be run on them, or gives something else.
        """
        height, width = pairs.shape[1:3]
        if self.side and max(height, width) > self.side:
            raise ValueError(f'{self.name}: was exported for images of {self.side} x {self.side} pixels, got {width} x '
                             f'{height}')
        rest = [self.side - size if self.side else -size % self.multiple for size in (height, width)]
        pairs = np.pad(pairs, ((0, 0), (0, rest[0]), (0, rest[1]), (0, 0)), mode='reflect')
        inputs = pairs.transpose(0, 3, 1, 2).astype(np.float32)
        expected = (1, 1, *inputs.shape[2:])
        outputs = []
        for one in inputs:
            try:
                output = np.asarray(self.session.run(None, {'pair': one[None]})[0])
            except Exception as error:  # see above
                raise ValueError(f'{self.name}: cannot be run on an image of {width} x {height} pixels: '
                                 f'{error}') from error
            if output.shape != expected or output.dtype != np.float32:
                raise ValueError(f'{self.name}: gave {output.dtype} {output.shape} for one image, expected float32 '
                                 f'{expected}; it is no model of tools/export.py, or was altered since')
            outputs.append(output)
        return np.concatenate(outputs)[:, 0, :height, :width]
