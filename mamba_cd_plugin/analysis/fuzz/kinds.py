"""The kinds of input: valid files to begin with, what draws others, and what reads them in this package."""
import argparse
import copy
import io
import json
import random
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS
from PIL import Image

from ...engine.config_options import OptionsAction, merge_options
from ...engine.safetensors_file import safetensors_bytes
from ...export.export import export_onnx
from ...inference import ChangeDetectionInferencer
from ...inference.checkpoints import load_model
from ...inference.models import PROPERTIES, TorchTileModel
from ...inference.pairs import Span, Window, open_pair
from ...io.formats import WHOLE_BYTES
from ...io.labels import read_label
from ...io.listing import read_names
from ...io.pictures import read_rgb
from ...resources import find_config
from .mutations import mend_png, mend_zip, mutate

CONFIG = 'cdmamba_v8_levircd'
WIDTH, HEIGHT = 40, 36
NAMES = ('a', 'b', 'train/A/a', 'c,c')  # of images that a list may name
# A whole prediction takes as long as some ten readings.
PREDICT_EVERY = 20
MAX_PREDICTED = 256  # pixels of a side
# V8 with one level: all its parts, and built in a few hundredths of a second.
TINY = {'model.backbone.d_state': 2, 'model.neck.in_channels': [8], 'model.decode_head.in_channels': [8]}


class Kind(NamedTuple):
    """A kind of input.

    Attributes:
        suffix: Suffix of its files.
        readers: What reads it, by name; each gets the bench and the path.
        mend: Puts checksums right after damage, in every second file; None where there are none.
        peak: Bytes of memory that a small file may take: a picture of a few kB is decoded to some hundred, but a TIFF
            may leave its pixels out, and is as large as it says.
    """
    suffix: str
    readers: tuple[Callable[['Bench', Path], None], ...]
    mend: Callable[[bytes], bytes] | None = None
    peak: int = 256 << 20


class Bench:
    """A folder with valid files, and what the readers need.

    Args:
        folder: Holds ``seeds``; inputs and results are written into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = folder / 'seeds' / 'other.png'
        self.raster = folder / 'seeds' / 'other.tif'
        self.checkpoint = folder / 'seeds' / 'model.pth'
        self.results = folder / 'results'
        self.number = 0
        self._seeds: dict[str, list[bytes]] = {}
        self._warm = False

    def seeds(self, kind: str) -> list[bytes]:
        """The contents of the valid files of a kind."""
        return [path.read_bytes() for path in sorted((self.folder / 'seeds' / kind).glob('[!.]*'))]

    @cached_property
    def inferencer(self) -> ChangeDetectionInferencer:
        """Predicts with the valid checkpoint."""
        return ChangeDetectionInferencer(weights=self.checkpoint, device='cpu', show_progress=False)

    @cached_property
    def config(self) -> Config:
        """A config of the package."""
        return Config.fromfile(find_config(CONFIG))

    def warm_up(self) -> None:
        """Do once what is done at the first use only, so that no input is charged with it."""
        if self._warm:
            return
        self._warm = True
        self.inferencer.model.predict(np.zeros((1, 64, 64, 6), np.uint8), flips=False)
        self.config.to_dict()
        with open_pair(self.raster, self.image.with_name('geotiff') / 'deep.tif') as source:
            source.thumbnail(1)

    def drawn(self, kind: str) -> Any:
        """hypothesis' strategy for files of a kind.

        Raises:
            ImportError: If hypothesis is not installed.
        """
        try:
            from . import draw_images, draw_models
        except ImportError as error:
            raise ImportError(
                f"drawing inputs needs hypothesis: pip install 'mamba_cd_plugin[tests]' ({error})") from error
        return {
            'png': draw_images.png_files,
            'jpeg': lambda: draw_images.jpeg_files(self.seeds('jpeg')),
            'tiff': draw_images.tiff_files,
            'geotiff': draw_images.tiff_files,
            'label': draw_images.label_files,
            'list': draw_models.list_files,
            'checkpoint': lambda: draw_models.checkpoint_files(torch.load(self.checkpoint, weights_only=True)),
            'safetensors': lambda: draw_models.safetensors_files(self.seeds('safetensors')[0]),
            'onnx': lambda: draw_models.onnx_files(self.seeds('onnx')[0], PROPERTIES),
            'options': lambda: draw_models.option_words(list(_dotted(self.config.to_dict()))),
        }[kind]()

    def mutated(self, kind: str, draw: random.Random) -> bytes:
        """A damaged file of a kind."""
        if kind not in self._seeds:
            self._seeds[kind] = self.seeds(kind)
        content = mutate(self._seeds[kind], draw)
        mend = KINDS[kind].mend
        return mend(content) if mend is not None and draw.random() < 0.5 else content

    def read_whole_pair(self, path: Path, other: Path) -> None:
        """Open a pair as prediction does and read all that is reasonable; every so often predict it."""
        with open_pair(path, other) as source:
            source.read(Window(Span(0, min(source.height, 512)), Span(0, min(source.width, 512))))
            source.thumbnail(max(1, -(-max(source.height, source.width) // 64)))
            small = max(source.height, source.width) <= MAX_PREDICTED
        self.number += 1
        if small and self.number % PREDICT_EVERY == 0:
            self.inferencer((path, other), out_dir=str(self.results), fresh=True, tile=64, overlap=32)


def _dotted(node: dict, prefix: str = '') -> Iterator[str]:
    for key, value in node.items():
        yield f'{prefix}{key}'
        if isinstance(value, dict):
            yield from _dotted(value, f'{prefix}{key}.')


def _picture(bench: Bench, path: Path) -> None:
    read_rgb(str(path))


def _pair(bench: Bench, path: Path) -> None:
    bench.read_whole_pair(path, bench.image)


def _raster_pair(bench: Bench, path: Path) -> None:
    bench.read_whole_pair(path, bench.raster)


def _raster_second(bench: Bench, path: Path) -> None:
    bench.read_whole_pair(bench.raster, path)


def _label(bench: Bench, path: Path) -> None:
    read_label(str(path))


def _list(bench: Bench, path: Path) -> None:
    read_names(str(path), NAMES)


def _model(bench: Bench, path: Path) -> None:
    model = load_model(ConfigDict(), str(path), 'cpu')
    model.predict(np.zeros((1, 64, 64, 6), np.uint8), flips=False)


def _options(bench: Bench, path: Path) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, default={})
    words = path.read_bytes().decode('utf-8', 'surrogateescape').split('\n')
    try:
        try:
            given = parser.parse_args(['--cfg-options', *words]).cfg_options
        except SystemExit:  # Python before 3.12 ends over a word that looks like another option, whatever it is told
            raise ValueError(f'{path.name}: no words of --cfg-options') from None
        cfg = copy.deepcopy(bench.config)
        merge_options(cfg, given)
        json.dumps(cfg.to_dict(), default=str)
    except (argparse.ArgumentError, KeyError, ValueError) as error:  # it has no file; its name here is its option's
        if '--cfg-options' in str(error) or 'unrecognized arguments' in str(error):
            raise ValueError(f'{path.name}: {error}') from None
        raise


KINDS = {
    'png': Kind('.png', (_picture, _pair), mend_png),
    'jpeg': Kind('.jpg', (_picture, _pair)),
    'tiff': Kind('.tif', (_picture, _pair), peak=3 * WHOLE_BYTES),
    'geotiff': Kind('.tif', (_raster_second, _raster_pair)),
    'label': Kind('.png', (_label, ), mend_png, peak=3 * WHOLE_BYTES),
    'list': Kind('.txt', (_list, )),
    'checkpoint': Kind('.pth', (_model, ), mend_zip),
    'safetensors': Kind('.safetensors', (_model, )),
    'onnx': Kind('.onnx', (_model, )),
    'options': Kind('.txt', (_options, )),
}


def write_seeds(folder: Path, exported: bool = True) -> None:
    """Write the valid files of every kind into ``folder/seeds``.

    Args:
        folder: Folder of the campaign.
        exported: Whether there is an exported model among the ONNX files, which takes half a minute.
    """
    seeds = folder / 'seeds'
    for kind in KINDS:
        (seeds / kind).mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    rgb = np.kron(draw.integers(40, 220, (HEIGHT // 4, WIDTH // 4, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    change = (rgb[..., 0] > 128).astype(np.uint8) * 255
    Image.fromarray(255 - rgb).save(seeds / 'other.png')
    _write_pictures(seeds, rgb)
    _write_labels(seeds, change)
    _write_rasters(seeds, rgb)
    for number, text in enumerate(
        ('a\nb\n', '# split\ntrain/A/a.png\nb.png\n', 'A/a.png B/a.png label/a.png\r\nb\r\n')):
        (seeds / 'list' / f'{number}.txt').write_bytes(text.encode())
    (seeds / 'list' / 'utf16.txt').write_bytes('a\nb\n'.encode('utf-16'))
    for number, text in enumerate(('model.decode_head.threshold=0.4', "train_dataloader.batch_size=2\ndata_root='x'",
                                   'model.neck.in_channels=[16,32]\ndefault_hooks.logger.interval=1')):
        (seeds / 'options' / f'{number}.txt').write_text(text)
    _write_models(seeds, exported)


def _write_pictures(seeds: Path, rgb: np.ndarray) -> None:
    image, alpha = Image.fromarray(rgb), Image.fromarray(np.dstack([rgb, rgb[..., 0]]))
    grey = image.convert('L')
    palette = image.quantize(16)
    deep = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    options: dict[str, Any]
    palette.info['transparency'] = 0
    for name, each in dict(rgb=image, rgba=alpha, grey=grey, deep=deep, palette=palette, bit=grey.convert('1')).items():
        each.save(seeds / 'png' / f'{name}.png')
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, each, options in (('rgb', image, {}), ('grey', grey, {}), ('progressive', image, dict(progressive=True)),
                                ('turned', image, dict(exif=turned)), ('cmyk', image.convert('CMYK'), {})):
        each.save(seeds / 'jpeg' / f'{name}.jpg', **options)
    for name, each, options in (('raw', image, {}), ('lzw', image, dict(compression='tiff_lzw')), ('deep', deep, {}),
                                ('deflate', alpha, dict(compression='tiff_adobe_deflate')), ('palette', palette, {}),
                                ('packbits', grey, dict(compression='packbits')),
                                ('jpeg', image, dict(compression='jpeg')), ('bit', grey.convert('1'), {})):
        each.save(seeds / 'tiff' / f'{name}.tif', **options)


def _write_labels(seeds: Path, change: np.ndarray) -> None:
    label = Image.fromarray(change)
    for name, each, suffix in (('grey', label, 'png'), ('small', Image.fromarray(change // 255), 'png'),
                               ('bit', label.convert('1'), 'png'), ('palette', label.convert('P'), 'png'),
                               ('rgb', label.convert('RGB'), 'png'), ('grey', label,
                                                                      'tif'), ('bit', label.convert('1'), 'tif')):
        each.save(seeds / 'label' / f'{name}_{suffix}.{suffix}')


def _write_rasters(seeds: Path, rgb: np.ndarray) -> None:
    import rasterio
    from rasterio.enums import Resampling
    bands = rgb.transpose(2, 0, 1)
    usual = dict(driver='GTiff',
                 height=HEIGHT,
                 width=WIDTH,
                 crs='EPSG:32632',
                 transform=rasterio.transform.from_origin(500000, 5300000, 0.5, 0.5))
    kinds: dict[str, tuple[np.ndarray, dict]] = {
        'other': (255 - bands, {}),
        'plain': (bands, {}),
        'tiled': (bands, dict(tiled=True, blockxsize=16, blockysize=16, compress='deflate', predictor=2)),
        'deep': (bands.astype(np.uint16) * 40, dict(compress='lzw', nodata=0)),
        'float': (bands.astype(np.float32) / 255, dict(compress='deflate', predictor=3, nodata=float('nan'))),
        'infrared': (np.concatenate([bands, bands[:1]]), dict(interleave='band')),
        'jpeg': (bands, dict(compress='jpeg', photometric='ycbcr', tiled=True, blockxsize=16, blockysize=16)),
        'big': (bands, dict(BIGTIFF='YES', compress='zstd')),
    }
    for name, (values, options) in kinds.items():
        path = seeds / 'other.tif' if name == 'other' else seeds / 'geotiff' / f'{name}.tif'
        with rasterio.open(path, 'w', count=len(values), dtype=values.dtype, **{**usual, **options}) as file:
            file.write(values)
            if name == 'tiled':
                file.build_overviews([2], Resampling.average)
            if name == 'plain':
                file.write_mask(values[0] > 60)
    (seeds / 'geotiff' / 'virtual.tif').write_text(f'''<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">
<SRS>EPSG:32632</SRS><GeoTransform>500000,0.5,0,5300000,0,-0.5</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{seeds / "other.tif"}</SourceFilename>
<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>''')


def _write_models(seeds: Path, exported: bool) -> None:
    cfg = Config.fromfile(find_config(CONFIG))
    cfg.merge_from_dict(TINY)
    for key in ('embed_dims', 'init_cfg'):  # those of the full model
        cfg.model.backbone.pop(key, None)
    cfg.model.backbone.arch = dict(embed_dims=8, depths=(1, ), ssm_ratio=1.0)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, _scope_='mmseg'))
    text = Config(dict(model=cfg.model)).pretty_text
    content = dict(meta=dict(cfg=text, epoch=1, iter=2), state_dict=model.state_dict())
    torch.save(content, seeds / 'model.pth')
    for name, form in (('new', True), ('legacy', False)):
        torch.save(content, seeds / 'checkpoint' / f'{name}.pth', _use_new_zipfile_serialization=form)
    (seeds / 'checkpoint' / 'hostile.pth').write_bytes(_hostile(content))
    (seeds / 'safetensors' / 'model.safetensors').write_bytes(
        safetensors_bytes(content['state_dict'], dict(cfg=text, metrics=dict(changed_F1=0.5))))
    (seeds / 'onnx' / 'difference.onnx').write_bytes(_small_onnx())
    if exported:
        export_onnx(TorchTileModel(model, cfg.model), seeds / 'onnx' / 'model.onnx')


def _small_onnx() -> bytes:
    """A convolution and a sigmoid that say of themselves what an exported model says."""
    from onnx import TensorProto, helper, numpy_helper
    weight = np.random.default_rng(0).normal(0, 0.01, (1, 6, 3, 3)).astype(np.float32)
    sides = ['height', 'width']
    graph = helper.make_graph([
        helper.make_node('Conv', ['pair', 'weight'], ['logit'], pads=[1] * 4),
        helper.make_node('Sigmoid', ['logit'], ['probability'])
    ], 'difference', [helper.make_tensor_value_info('pair', TensorProto.FLOAT, [1, 6, *sides])],
                              [helper.make_tensor_value_info('probability', TensorProto.FLOAT, [1, 1, *sides])],
                              [numpy_helper.from_array(weight, 'weight')])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)
    helper.set_model_props(
        model,
        {PROPERTIES: json.dumps(dict(version='0', threshold=0.5, fill=[124, 116, 104], side=None, multiple=32))})
    return model.SerializeToString()


class _Command:
    """Pickled, it is a call of a function that leaves a trace."""

    def __reduce__(self) -> tuple:
        import os
        return os.system, ('touch RAN', )


def _hostile(content: dict) -> bytes:
    target = io.BytesIO()
    torch.save(dict(content, optimizer=_Command()), target)
    return target.getvalue()
