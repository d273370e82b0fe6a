"""An exported model, run by onnxruntime."""
import json
from hashlib import sha256
from pathlib import Path

import numpy as np

from .tile_model import TileModel

# Key of the model's properties under which tools/export.py stores what prediction needs to know.
PROPERTIES = 'mamba_cd_plugin'


class OnnxTileModel(TileModel):
    """A model that ``tools/export.py`` wrote.

    It takes one size, or multiples of 32; what is smaller or odd is padded with its border pixels. So its windows are
    all of one size, wherever they then have to start.

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
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
            properties = json.loads(self.session.get_modelmeta().custom_metadata_map[PROPERTIES])
        except KeyError as error:
            raise ValueError(f'{path}: was not written by tools/export.py, so its inputs are unknown; export it from '
                             'the checkpoint') from error
        except Exception as error:  # onnxruntime's own errors have no common base but this
            raise ValueError(f'{path}: cannot be read as an ONNX model: {error}') from error
        self.threshold, self.side, self.multiple = (properties[key] for key in ('threshold', 'side', 'multiple'))
        self.fill = np.array(properties['fill'], np.uint8)
        self.identity = sha256(path.read_bytes()).hexdigest()

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        """uint8 RGB pairs (N, H, W, 6) to change probabilities (N, H, W)."""
        height, width = pairs.shape[1:3]
        rest = [self.side - size if self.side else -size % self.multiple for size in (height, width)]
        pairs = np.pad(pairs, ((0, 0), (0, rest[0]), (0, rest[1]), (0, 0)), mode='edge')
        inputs = pairs.transpose(0, 3, 1, 2).astype(np.float32)
        outputs = [self.session.run(None, {'pair': one[None]})[0] for one in inputs]
        return np.concatenate(outputs)[:, 0, :height, :width]
