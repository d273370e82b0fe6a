"""The same files through training, check, converter, prediction and the Python API: one table of five equal columns."""
import io
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

rasterio = pytest.importorskip('rasterio')

from mamba_cd_plugin.datasets import LoadImagePair  # noqa: E402
from mamba_cd_plugin.inference import inferencer  # noqa: E402
from mamba_cd_plugin.inference.models import TileModel  # noqa: E402
from mamba_cd_plugin.io.pictures import read_rgb  # noqa: E402
from mamba_cd_plugin.preparation.check.facts import digest, measure_pair  # noqa: E402
from mamba_cd_plugin.preparation.convert.sources import Scene, SourceFile  # noqa: E402
from mamba_cd_plugin.preparation.convert.tiles import open_scene  # noqa: E402

pytestmark = pytest.mark.filterwarnings('ignore:Dataset has no geotransform')

Range = tuple[float, float] | None
HEIGHT, WIDTH = 32, 64
RANGE = (0, 4080)  # so that a value of 16 n becomes n
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY = RGB[..., 0]
AS_GREY = np.repeat(GREY[..., None], 3, axis=2)
DEEP = RGB.astype(np.uint16) * 16
ALPHA = np.where(COLUMNS < 8, 0, 255).astype(np.uint8)
BLACK_AND_WHITE = np.where(GREY > 99, 255, 0).astype(np.uint8)
# Red, green and blue of the colours 0, 1 and 2 of the palettes here; no two of one brightness.
PALETTE = np.array([(250, 250, 250), (20, 90, 30), (200, 10, 40)], np.uint8)
INDEX = (COLUMNS // 22).astype(np.uint8)


CLEAR = {'palette_clear.png': INDEX != 1, **dict.fromkeys(
    ('rgba.png', 'grey_alpha.png', 'deep_rgba.png', 'rgba.tif'), ALPHA > 0)}


def png(array: np.ndarray, **options) -> bytes:
    return saved(Image.fromarray(array), 'PNG', **options)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette(**options) -> bytes:
    image = Image.fromarray(INDEX, 'P')
    image.putpalette(PALETTE.ravel().tolist())
    return saved(image, 'PNG', **options)


def deep_png(array: np.ndarray) -> bytes:
    order = {2: None, 3: [2, 1, 0], 4: [2, 1, 0, 3]}
    return cv2.imencode('.png', array if array.ndim == 2 else array[..., order[array.shape[2]]])[1].tobytes()


def tiff(array: np.ndarray, colormap: object = None, **profile) -> bytes:
    bands = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    with rasterio.MemoryFile() as memory:
        profile.update(driver='GTiff', count=len(bands), height=HEIGHT, width=WIDTH, dtype=bands.dtype)
        with memory.open(**profile) as file:
            if colormap:
                file.write_colormap(1, colormap)
            file.write(bands)
        return memory.read()


def jpeg(array: np.ndarray, **options) -> tuple[bytes, np.ndarray]:
    """A JPEG, and what is in it after compression by another decoder."""
    content = saved(Image.fromarray(array), 'JPEG', quality=95, **options)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return content, cv2.imdecode(np.frombuffer(content, np.uint8), flags)[..., ::-1]


def with_orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def flipped_bit(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


def taller(content: bytes) -> bytes:
    """A TIFF with 500 million rows in its header: tag 257 as number of 32 bits in place of one of 16."""
    wrong = content.replace(struct.pack('<HHIHH', 257, 3, 1, HEIGHT, 0), struct.pack('<HHII', 257, 4, 1, 500_000_000))
    assert wrong != content
    return wrong


def files() -> dict[str, tuple[bytes, np.ndarray | str]]:
    """By name the content of a file, and the picture in it (H, W, 3) or a part of the refusal."""
    plain, photo = png(RGB), jpeg(RGB)
    lying = jpeg(np.rot90(RGB), exif=with_orientation(6))  # of a camera held upright
    colormap = {index: (*map(int, colour), 255) for index, colour in enumerate(PALETTE)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    two = [Image.fromarray(RGB), Image.fromarray(AS_GREY)]
    cannot = 'cannot be read as an image'
    return {
        'rgb.png': (plain, RGB),
        'grey.png': (png(GREY), AS_GREY),
        'one_bit.png': (png(BLACK_AND_WHITE > 0), np.repeat(BLACK_AND_WHITE[..., None], 3, axis=2)),
        'palette.png': (palette(), PALETTE[INDEX]),
        'palette_clear.png': (palette(transparency=1), PALETTE[INDEX]),
        'rgba.png': (png(np.dstack([RGB, ALPHA])), RGB),
        'grey_alpha.png': (png(np.dstack([GREY, ALPHA])), AS_GREY),
        'profile.png': (png(RGB, icc_profile=profile), RGB),
        'photo.jpg': photo,
        'grey.jpg': jpeg(GREY),
        'progressive.jpeg': jpeg(RGB, progressive=True),
        'upside_down.png': (png(RGB[::-1, ::-1], exif=with_orientation(3)), RGB),
        'mirrored.png': (png(RGB[:, ::-1], exif=with_orientation(2)), RGB),
        'lying.png': (png(np.rot90(RGB, -1), exif=with_orientation(8)), RGB),
        'lying.jpg': (lying[0], np.rot90(lying[1], -1)),
        'deep_rgb.png': (deep_png(DEEP), RGB),
        'deep_grey.png': (deep_png(DEEP[..., 0]), AS_GREY),
        'deep_rgba.png': (deep_png(np.dstack([DEEP, ALPHA.astype(np.uint16)])), RGB),
        'rgb.tif': (tiff(RGB, photometric='RGB'), RGB),
        'grey.tif': (tiff(GREY), AS_GREY),
        'tiled.tif': (tiff(RGB, tiled=True, blockxsize=16, blockysize=16, compress='deflate', predictor=2), RGB),
        'planes.tiff': (tiff(RGB, interleave='band'), RGB),
        'rgba.tif': (tiff(np.dstack([RGB, ALPHA]), photometric='RGB'), RGB),
        'infrared.tif': (tiff(np.dstack([RGB, GREY]), photometric='MINISBLACK'), RGB),
        'palette.tif': (tiff(INDEX, colormap=colormap, photometric='palette'), PALETTE[INDEX]),
        'deep.tif': (tiff(DEEP), RGB),
        'deep_signed.tif': (tiff(DEEP.astype(np.int32)), RGB),
        'deep_float.tif': (tiff(DEEP.astype(np.float32)), RGB),
        'png_inside.jpg': (plain, RGB),
        'jpeg_inside.png': photo,
        'cmyk.jpg': (saved(Image.fromarray(RGB).convert('CMYK'), 'JPEG'), 'mode CMYK (4 channels), expected grey, RGB'),
        'moving.png': (saved(two[0], 'PNG', save_all=True, append_images=two[1:]), 'animation of 2 frames, expected'),
        'negative.tif': (tiff(GREY, photometric='MINISWHITE'), 'MINISWHITE'),
        'empty.png': (b'', f'{cannot} (0 bytes): it is empty'),
        'cut.png': (plain[:-200], cannot),
        'cut.jpg': (photo[0][:-400], cannot),
        'cut.tif': (tiff(RGB)[:-3000], 'is truncated'),
        'tall.tif': (taller(tiff(GREY)), 'promises 64 x 500,000,000 pixels, whose blocks its'),
        'page.png': (b'<html>404</html>', f"{cannot} (16 bytes): it begins with b'<html>404</h'"),
        'flipped_bit.png': (flipped_bit(plain), 'the checksum of its part IDAT is wrong'),
        'no_end.png': (plain[:-12], 'its end is missing'),
    }


class Recorder(TileModel):
    """Keeps the pixels that reach the model."""

    threshold, fill, identity, align = 0.5, np.zeros(3, np.uint8), 'recorder', 1

    def forward(self, pairs: np.ndarray) -> np.ndarray:
        self.pixels = pairs[0, :HEIGHT, :WIDTH, :3]
        return np.zeros(pairs.shape[:3], np.float32)


def said(reader: Callable[[], np.ndarray]) -> np.ndarray | str:
    """The pixels, or the refusal without the folder."""
    try:
        return reader()
    except (OSError, ValueError) as error:
        return str(error)


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable]:
    """The ways into this package, each from (A, B, value range) to the pixels of A."""
    label = tmp_path / 'label.png'
    label.write_bytes(png(BLACK_AND_WHITE))
    model = Recorder()
    monkeypatch.setattr(inferencer, 'load_model', lambda *_, **__: model)
    api = inferencer.ChangeDetectionInferencer(weights='recorder.pth', show_progress=False)

    def train(a: str, b: str, value_range: Range) -> np.ndarray:
        return LoadImagePair(value_range=value_range).transform(dict(img_path=a, img_path2=b))['img'][..., :3]

    def check(a: str, b: str, value_range: Range) -> np.ndarray:
        facts = measure_pair('train', 'x', {'A': a}, with_shift=False, value_range=value_range).files['A']
        if facts.unreadable or facts.refused:
            raise ValueError(facts.unreadable or facts.refused)
        return facts.digest

    def convert(a: str, b: str, value_range: Range) -> np.ndarray:
        files = {role: SourceFile(path, path) for role, path in (('A', a), ('B', b), ('label', str(label)))}
        with open_scene(Scene('train', 'x', files), str(tmp_path), value_range) as scene:
            return scene.tile(0, 0, WIDTH).a

    def predict(a: str, b: str, value_range: Range) -> np.ndarray:
        api((a, b), out_dir=str(tmp_path / 'out'), value_range=value_range, polygons='none', fresh=True)
        return model.pixels

    def call(a: str, b: str, value_range: Range) -> np.ndarray:
        api((Path(a), Path(b)), value_range=value_range)
        return model.pixels

    return dict(training=train, check=check, converter=convert, predict=predict, api=call)


@pytest.mark.parametrize('name', files())
def test_five_equal_columns(name: str, readers: dict, tmp_path: Path) -> None:
    content, wanted = files()[name]
    for folder in 'AB':
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    a, b = (str(tmp_path / folder / name) for folder in 'AB')
    value_range = RANGE if name.startswith('deep') else None
    row = {column: said(lambda read=read: read(a, b, value_range)) for column, read in readers.items()}
    if isinstance(wanted, str):
        assert wanted in row['training']
        assert set(row.values()) == {row['training']}
    else:
        assert row.pop('check') == digest(wanted)
        for column, pixels in row.items():
            assert not isinstance(pixels, str), (column, pixels)
            # Prediction gives the model its mean colour where a picture is clear, in place of what lies below.
            shown = CLEAR.get(name, True) if column in ('predict', 'api') else True
            assert pixels.dtype == np.uint8 and (pixels == wanted)[np.broadcast_to(shown, GREY.shape)].all(), column


def test_plain_tiffs_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rasterio is missing, Pillow reads what it knows, to the same pixels; the rest is refused with the extra."""
    plain = ('rgb.tif', 'grey.tif', 'tiled.tif', 'planes.tiff', 'rgba.tif', 'palette.tif')
    contents = files()
    monkeypatch.setattr('mamba_cd_plugin.io.pictures._read_raster', lambda *_: None)
    for name in plain:
        (tmp_path / name).write_bytes(contents[name][0])
        assert np.array_equal(read_rgb(str(tmp_path / name)), contents[name][1]), name
    (tmp_path / 'infrared.tif').write_bytes(contents['infrared.tif'][0])
    with pytest.raises(OSError, match=r"infrared\.tif: .*need rasterio: pip install 'mamba_cd_plugin\[geo\]'"):
        read_rgb(str(tmp_path / 'infrared.tif'))
