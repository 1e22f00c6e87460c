"""The camera over the belt: light, lens, sensor, and the photograph as it makes it."""

from __future__ import annotations

import io

import numpy as np
from defects import dust, seated, spoil
from PIL import Image
from scipy import ndimage
from widget import PIXELS, Array, Pose, Surface, draw, smooth_noise

SIZE = 224


def photograph(
    widget: np.random.Generator, shot: np.random.Generator, kind: str, severity: float, size: int = SIZE
) -> np.ndarray:
    """One widget, as the sensor sees it: uint8 [size, size, 3].

    Args:
        widget: what the widget is comes from it: where it lies, its metal, its defect, its dust.
        shot: what this photograph makes of it: light, focus, noise.
        kind: one of `defects.CLASSES`.
        severity: of the defect, 0 to 1; means nothing for `pass`.
        size: of a side, in pixels.
    """
    x, y = widget.uniform(-0.1, 0.1, 2)
    scale = size / SIZE * PIXELS * widget.uniform(0.93, 1.07)
    pose = Pose(float(x), float(y), float(widget.normal(0, 6)), float(scale))
    surface = draw(widget, size, pose, seated(widget, kind, severity))
    spoil(widget, surface, kind, severity)
    dust(widget, surface)
    return _sensor(shot, _lens(shot, _lit(shot, surface)))


def jpeg(picture: np.ndarray, quality: int) -> bytes:
    """The file that the camera writes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _lit(random: np.random.Generator, surface: Surface) -> Array:
    """A lamp from one side, its highlight across the plate, and a shadow of the gantry now and then."""
    size = surface.u.shape[0]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    angle = random.uniform(0, 2 * np.pi)
    side = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    light = random.uniform(0.8, 1.15) * (1 + random.uniform(0.05, 0.3) * side) * (1 - 0.12 * (x * x + y * y))
    at, width = random.uniform(-0.9, 0.9), random.uniform(0.15, 0.4)
    highlight = random.uniform(0.05, 0.3) * np.exp(-(((side - at) / width) ** 2)) * surface.gloss
    if random.random() < 0.15:
        edge = random.uniform(-0.8, 0.8)
        light = light * (1 - random.uniform(0.1, 0.3) / (1 + np.exp(-(y - edge) / 0.04)))
    light = light * (1 + 0.03 * smooth_noise(random, size, size / 2))
    return np.asarray(surface.colour * light[..., None] + highlight[..., None], np.float32)


def _lens(random: np.random.Generator, picture: Array) -> Array:
    """Out of focus by 0.3 to 0.9 pixels, and smeared by the belt's motion in one picture of four."""
    sigma = random.uniform(0.3, 0.9) * picture.shape[0] / 224
    picture = ndimage.gaussian_filter(picture, (sigma, sigma, 0))
    if random.random() < 0.25:
        picture = ndimage.uniform_filter1d(picture, random.integers(2, 4), axis=1)
    return picture


def _sensor(random: np.random.Generator, picture: Array) -> np.ndarray:
    """White balance, shot and read noise, gamma."""
    picture = picture * random.normal(1, 0.025, 3).astype(np.float32)
    shot = np.sqrt(np.clip(picture, 0, None)) * random.uniform(0.008, 0.025)
    picture = picture + (shot + 0.004) * random.normal(size=picture.shape).astype(np.float32)
    return (np.clip(picture, 0, 1) ** np.float32(1 / 1.8) * 255 + 0.5).astype(np.uint8)
