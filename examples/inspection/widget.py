"""What a widget looks like under the line's camera: a brushed metal plate, four rivets, and a plastic cap.

Everything is computed from coordinates in the widget's own frame, pixel by pixel, so that edges are smooth at any
pose and a picture is a function of its random stream alone. Lengths are in widgets: the plate is 2 wide; at 224 pixels
one widget is about 98 pixels.

A good widget is not a clean one. Its plate is brushed (fine parallel lines), carries dust and an oil film, its cap sits
off centre and turned within the tolerance, and the lamp draws a highlight across it. What makes a defect is stated
with each function in `defects.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]

PIXELS = 98  # per widget, in a photograph of 224 pixels
PLATE = 0.86  # half a side
CORNER = 0.16  # radius of its corners
CAP = 0.46  # radius
RIVET, RIVET_AT = 0.075, 0.64
TICKS = 12
OFFSET_TOLERANCE, TURN_TOLERANCE = 0.025, 4.0  # of the cap: widgets, degrees


@dataclass(frozen=True)
class Pose:
    """Where a widget lies: shift in widgets, turn in degrees, and pixels per widget."""

    x: float
    y: float
    turn: float
    scale: float


@dataclass(frozen=True)
class Cap:
    """How the cap sits on the plate: shift in widgets, turn in degrees."""

    x: float
    y: float
    turn: float


@dataclass
class Surface:
    """A widget before light falls on it. Arrays are [size, size]; colours [size, size, 3], from 0 to 1.

    Attributes:
        u, v: each pixel's place on the plate, in widgets.
        cap_u, cap_v: the same in the cap's frame.
        pixel: the width of a pixel, in widgets.
        plate, cap: how much of each pixel is plate, and of that cap.
        colour: what reflects.
        gloss: how much of the highlight it throws back.
    """

    u: Array
    v: Array
    cap_u: Array
    cap_v: Array
    pixel: float
    plate: Array
    cap: Array
    colour: Array
    gloss: Array


def draw(random: np.random.Generator, size: int, pose: Pose, cap: Cap) -> Surface:
    """A widget without defects on the belt."""
    u, v = _frame(size, pose)
    cap_u, cap_v = turned(u - cap.x, v - cap.y, cap.turn)
    pixel = 1.0 / pose.scale
    plate = inside(_rounded_square(u, v), pixel)
    on_cap = inside(np.hypot(cap_u, cap_v) - CAP, pixel)
    tint = random.normal(0, 0.012, 3)
    metal = np.clip(0.56 + random.normal(0, 0.03) + tint, 0, 1) * (1 + 0.10 * _brushed(random, u, v)[..., None])
    metal = metal * (1 - 0.12 * smooth_noise(random, size, size / 3)[..., None].clip(0))  # an oil film, here and there
    colour = _mix(_belt(random, size), metal.astype(np.float32), plate)
    surface = Surface(u, v, cap_u, cap_v, pixel, plate, on_cap * plate, colour, 0.9 * plate)
    _marks(surface)
    _rivets(surface)
    _plastic(random, surface)
    return surface


def turned(u: Array, v: Array, degrees: float) -> tuple[Array, Array]:
    """Coordinates in a frame that is turned by so many degrees."""
    c, s = np.float32(np.cos(np.radians(degrees))), np.float32(np.sin(np.radians(degrees)))
    return c * u + s * v, c * v - s * u


def inside(distance: Array, pixel: float) -> Array:
    """How much of a pixel lies where the signed distance is negative, 0 to 1: an edge one pixel wide."""
    return np.clip(0.5 - distance / np.float32(pixel), 0, 1)


def smooth_noise(random: np.random.Generator, size: int, length: float) -> Array:
    """Noise of unit variance whose features are about `length` pixels across; [size, size]."""
    cells = max(2, round(size / length)) + 3
    coarse = random.normal(size=(cells, cells)).astype(np.float32)
    fine = ndimage.zoom(coarse, (size + 2 * length) / cells, order=3)[:size, :size]
    return np.asarray(fine / max(1e-6, float(fine.std())), np.float32)


def _frame(size: int, pose: Pose) -> tuple[Array, Array]:
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / np.float32(pose.scale)
    x, y = np.meshgrid(axis - np.float32(pose.x), axis - np.float32(pose.y))
    return turned(x, y, pose.turn)


def _rounded_square(u: Array, v: Array) -> Array:
    """Signed distance to the plate's outline."""
    x, y = np.abs(u) - (PLATE - CORNER), np.abs(v) - (PLATE - CORNER)
    return np.asarray(np.hypot(np.maximum(x, 0), np.maximum(y, 0)) + np.minimum(np.maximum(x, y), 0) - CORNER)


def _belt(random: np.random.Generator, size: int) -> Array:
    """Dark rubber with a weave and stains."""
    axis = np.arange(size, dtype=np.float32) * np.float32(224 / size)
    weave = np.sin(axis * 1.1)[None, :] * np.sin(axis * 0.9)[:, None]
    grey = 0.16 + 0.015 * weave + 0.02 * smooth_noise(random, size, size / 6)
    return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2).astype(np.float32)


def _brushed(random: np.random.Generator, u: Array, v: Array) -> Array:
    """Fine lines along u whose strength comes and goes: noise that is long in one direction."""
    lines = random.normal(size=(400, 12)).astype(np.float32)
    lines = ndimage.gaussian_filter(lines, (0.7, 1.0))
    rows, columns = (v + 1.2) * (399 / 2.4), (u + 1.2) * (11 / 2.4)
    found = ndimage.map_coordinates(lines, [rows, columns], order=1, mode="nearest")
    return np.asarray(found / lines.std(), np.float32)


def _marks(surface: Surface) -> None:
    """Twelve engraved ticks around the cap and one long one that its notch must point at."""
    angle = np.arctan2(surface.v, surface.u)
    radius = np.hypot(surface.u, surface.v)
    step = np.float32(2 * np.pi / TICKS)
    across = np.abs((angle + step / 2) % step - step / 2) * radius
    near_top = np.abs(angle + np.pi / 2) * radius
    ticks = inside(across - 0.012, surface.pixel) * inside(np.abs(radius - 0.56) - 0.03, surface.pixel)
    pointer = inside(near_top - 0.018, surface.pixel) * inside(np.abs(radius - 0.59) - 0.07, surface.pixel)
    surface.colour *= (1 - 0.55 * np.maximum(ticks, pointer) * surface.plate)[..., None]


def _rivets(surface: Surface) -> None:
    for x in (-RIVET_AT, RIVET_AT):
        for y in (-RIVET_AT, RIVET_AT):
            du, dv = surface.u - np.float32(x), surface.v - np.float32(y)
            distance = np.hypot(du, dv)
            head = inside(distance - RIVET, surface.pixel)
            shade = 0.62 - 0.35 * (du + dv) / RIVET * 0.5  # lit from above
            rim = np.exp(-(((distance - RIVET) / 0.02) ** 2))
            surface.colour[:] = _mix(surface.colour, np.repeat(shade[..., None], 3, axis=2), head)
            surface.colour *= (1 - 0.35 * rim)[..., None]


def _plastic(random: np.random.Generator, surface: Surface) -> None:
    """The cap: one of the line's two blues, grained, with a bevelled rim and a notch at its top."""
    blue = np.array([0.13, 0.27, 0.52] if random.random() < 0.7 else [0.10, 0.22, 0.42], np.float32)
    radius = np.hypot(surface.cap_u, surface.cap_v)
    grain = 1 + 0.03 * random.normal(size=radius.shape).astype(np.float32)
    colour = (blue + random.normal(0, 0.008, 3).astype(np.float32))[None, None, :] * grain[..., None]
    rim = np.exp(-(((radius - (CAP - 0.03)) / 0.022) ** 2))
    notch = inside(np.abs(surface.cap_u) - 0.035, surface.pixel) * inside(
        np.abs(surface.cap_v + 0.36) - 0.08, surface.pixel
    )
    colour = colour * (1 + 0.45 * rim)[..., None] * (1 - 0.75 * notch)[..., None]
    shadow = np.exp(-((np.maximum(radius - CAP, 0) / 0.035) ** 2)) * (1 - surface.cap) * surface.plate
    surface.colour *= (1 - 0.45 * shadow)[..., None]
    surface.colour[:] = _mix(surface.colour, colour, surface.cap)
    surface.gloss *= 1 - 0.55 * surface.cap


def _mix(below: Array, above: Array, share: Array) -> Array:
    return np.asarray(below * (1 - share[..., None]) + above * share[..., None], np.float32)
