"""Camera, atmosphere, post-processing and misregistration of each date."""
from dataclasses import dataclass

import cv2
import numpy as np

from .terrain import noise

_STEPS = 2048  # of the tone curve
_BRIGHTEST = 2.0  # sunlit white roofs; whatever is brighter is cut off
# Misregistration in px. Between the dates of LEVIR-CD's tiles it is 1.6 to 2.1 in the median; the Rayleigh distribution
# of this scale has 1.8. The bend comes on top, so that no point is off by more than 4.
_SHIFT_SCALE, _LARGEST_SHIFT, _LARGEST_BEND = 1.55, 3.2, 0.8
LARGEST_OFFSET = _LARGEST_SHIFT + _LARGEST_BEND


@dataclass(frozen=True)
class Camera:
    """Everything that turns a lit scene into an image.

    Attributes:
        mixing: (3, 3) from scene to image colours: cast and saturation.
        curve: (3, _STEPS) what becomes of the brightness in each channel.
        veil: Relative amplitude of slow brightness variation over the picture.
        blur: Gaussian sigma in px.
        sharpening: Strength of the unsharp mask that follows.
        noise: Standard deviation, 0-1 scale.
        quality: Quality of the JPEG compression, 0 for none.
    """

    mixing: np.ndarray
    curve: np.ndarray
    veil: float
    blur: float
    sharpening: float
    noise: float
    quality: int

    @classmethod
    def random(cls, rng: np.random.Generator, strength: float = 1.0, neutral: bool = False) -> 'Camera':
        """Draw a camera, an illumination and the post-processing of the picture.

        Args:
            rng: Source of randomness.
            strength: Factor on the departures from the mean camera.
            neutral: Whether the middle leaves an image as it is, for one that has been photographed already; without,
                it turns the light of a generated scene into an image like LEVIR-CD's.
        """

        def around(middle: float, spread: float) -> float:
            return float(np.exp((0 if neutral else middle) + strength * rng.normal(0, spread)))

        saturation = 1 + strength * rng.uniform(-0.35, 0.35) - (0 if neutral else 0.25)
        warmth, green = strength * rng.normal(0.02, 0.035), strength * rng.normal(0.01, 0.015)
        cast = np.array((1 + warmth, 1 + green, 1 - warmth))
        mixing = cast[:, None] * (saturation * np.eye(3) + (1 - saturation) / 3)
        light = np.linspace(0, _BRIGHTEST, _STEPS)
        gain, gamma = around(-0.08, 0.15), around(0.12, 0.16)
        contrast, pivot = around(0.1, 0.2), rng.uniform(0.3, 0.55)
        haze = strength * max(rng.uniform(-0.12, 0.22), 0.0)
        air = np.array((0.55, 0.58, 0.60)) * rng.uniform(0.7, 1.15)
        curve = []
        for channel in range(3):
            # Each channel has a curve of its own: bright grounds may be yellowish where dark ones are blue.
            tone = (gain * light)**(gamma * np.exp(strength * rng.normal(0, 0.03)))
            tone = (tone - pivot) * contrast + pivot + strength * rng.normal(0, 0.012)
            curve.append((1 - haze) * tone + haze * air[channel])
        # Nobody keeps a picture in which the grass is black or white.
        grass = curve[1][int(0.35 / _BRIGHTEST * _STEPS)]
        curve = np.asarray(curve, np.float32) + np.float32(np.clip(grass, 0.22, 0.62) - grass)
        return cls(
            mixing=mixing.astype(np.float32),
            curve=curve,
            veil=rng.uniform(0, 0.06),
            blur=strength * (rng.uniform(0.2, 0.5) if rng.random() < 0.7 else rng.uniform(0.5, 1.1)),
            sharpening=strength * max(rng.uniform(-0.5, 1.5), 0.0),
            noise=strength * (0.002 + 0.02 * rng.random()**2),
            quality=int(rng.integers(55, 98)) if rng.random() < 0.8 else 0)

    def expose(self, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turns a lit scene, float32 (H, W, 3), into an image, uint8 (H, W, 3)."""
        shape = colour.shape[:2]
        colour = cv2.transform(colour, self.mixing)
        if self.sharpening:
            colour = cv2.GaussianBlur(colour, (0, 0), self.blur)
            colour = cv2.addWeighted(colour, 1 + self.sharpening, cv2.GaussianBlur(colour, (0, 0), 1.2),
                                     -self.sharpening, 0)
        else:
            colour = cv2.GaussianBlur(colour, (0, 0), self.blur)
        factor = np.float32((_STEPS - 1) / _BRIGHTEST) * (1 + np.float32(self.veil) * noise(rng, shape, 140, 2))
        # Most of the noise is common to the channels, as after demosaicing.
        common = np.float32(255 * 0.8 * self.noise) * noise(rng, shape, 1, 1) + np.float32(0.5)
        planes = []
        for plane, curve in zip(cv2.split(colour), self.curve):
            plane *= factor
            np.clip(plane, 0, _STEPS - 1, out=plane)
            plane = np.take(255 * curve, plane.astype(np.uint16))
            plane += common
            plane += np.float32(255 * 0.6 * self.noise) * noise(rng, shape, 1, 1)
            planes.append(np.clip(plane, 0, 255, out=plane).astype(np.uint8))
        image = cv2.merge(planes)
        return recompress(image, self.quality) if self.quality else image


def recompress(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after a trip through a JPEG file; OpenCV takes its channels for BGR, which only swaps two of them."""
    data = cv2.imencode('.jpg', np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def misregister(image: np.ndarray, rng: np.random.Generator, largest: float = LARGEST_OFFSET) -> np.ndarray:
    """Shifts and bends an image (H, W) or (H, W, C), at no point by more than `largest` px."""
    height, width = image.shape[:2]
    share = largest / LARGEST_OFFSET
    direction = rng.uniform(0, 2 * np.pi)
    distance = share * min(rng.rayleigh(_SHIFT_SCALE), _LARGEST_SHIFT)
    # Bending in half of the pairs: a grid of 3 x 3 offsets within a circle, enlarged smoothly.
    bend = share * max(rng.uniform(-_LARGEST_BEND, _LARGEST_BEND), 0)
    turn, length = rng.uniform(0, 2 * np.pi, (3, 3)), bend * np.sqrt(rng.random((3, 3)))
    offsets = np.dstack([length * np.cos(turn), length * np.sin(turn)]).astype(np.float32)
    offsets = cv2.resize(offsets, (width, height), interpolation=cv2.INTER_LINEAR)
    x = np.arange(width, dtype=np.float32) + offsets[..., 0] + np.float32(distance * np.cos(direction))
    y = np.arange(height, dtype=np.float32)[:, None] + offsets[..., 1] + np.float32(distance * np.sin(direction))
    return cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
