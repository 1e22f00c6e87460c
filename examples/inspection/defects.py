"""What goes wrong with a widget, each from obvious (severity 1) to hardly visible (severity 0).

What a severity means is stated with each kind; a line's width is in pixels of a 224-pixel photograph, where a
hair is one pixel or less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from widget import CAP, OFFSET_TOLERANCE, PIXELS, PLATE, TURN_TOLERANCE, Array, Cap, Surface, inside, smooth_noise

CLASSES = ("pass", "scratch", "discoloration", "misalignment", "crack")


def seated(random: np.random.Generator, kind: str, severity: float) -> Cap:
    """How the cap sits: within the tolerance, or, misaligned, turned by 9 to 40 degrees or 0.06 to 0.2 off centre."""
    x, y = random.normal(0, OFFSET_TOLERANCE / 2.5, 2).clip(-OFFSET_TOLERANCE, OFFSET_TOLERANCE)
    turn = float(np.clip(random.normal(0, TURN_TOLERANCE / 2.5), -TURN_TOLERANCE, TURN_TOLERANCE))
    if kind != "misalignment":
        return Cap(float(x), float(y), turn)
    if random.random() < 0.6:
        return Cap(float(x), float(y), float(random.choice([-1, 1]) * (9 + 31 * severity)))
    angle, far = random.uniform(0, 2 * np.pi), 0.06 + 0.14 * severity
    return Cap(float(x + far * np.cos(angle)), float(y + far * np.sin(angle)), turn)


def spoil(random: np.random.Generator, surface: Surface, kind: str, severity: float) -> None:
    """Puts the defect, if the kind is one that lies on the surface, onto a widget."""
    if kind in _ON_SURFACE:
        _ON_SURFACE[kind](random, surface, severity)


def dust(random: np.random.Generator, surface: Surface) -> None:
    """Specks and short fibres, on good widgets too: what a scratch must be told from."""
    for _ in range(random.poisson(4)):
        x, y = random.uniform(-PLATE, PLATE, 2)
        distance = np.hypot(surface.u - np.float32(x), surface.v - np.float32(y))
        speck = inside(distance - random.uniform(0.004, 0.014), surface.pixel) * surface.plate
        surface.colour[:] = surface.colour * (1 - 0.5 * speck[..., None]) + 0.5 * speck[..., None] * random.choice(
            [0.1, 0.8]
        )
    if random.random() < 0.25:
        start = random.uniform(-0.7, 0.7, 2)
        path = _path(random, start, random.uniform(0, 2 * np.pi), random.uniform(0.05, 0.12), bend=0.9)
        fibre = _stroke(surface, path, np.full(len(path), 0.7 / PIXELS, np.float32)) * surface.plate
        surface.colour *= (1 - 0.45 * fibre)[..., None]


def _scratch(random: np.random.Generator, surface: Surface, severity: float) -> None:
    """A nearly straight line across the grain, bright on one side and dark on the other; 0.25 to 1.3 widgets long,
    0.8 to 3 pixels wide, of 35 to 100 % contrast. It never runs along the brushing, which it could not be told from."""
    angle = np.radians(random.uniform(20, 160))
    length = 0.25 + 1.05 * severity * random.uniform(0.7, 1)
    start = random.uniform(-0.45, 0.45, 2) - length / 2 * np.array([np.cos(angle), np.sin(angle)])
    path = _path(random, start, angle, length, bend=0.12)
    width = (0.8 + 2.2 * severity) / PIXELS / 2
    pressed = np.interp(np.linspace(0, 1, len(path)), [0, 0.15, 0.85, 1], [0.3, 1, 1, 0.2]).astype(np.float32)
    groove = _stroke(surface, path, width * pressed) * surface.plate
    ridge = ndimage.shift(groove, (1.2, 0.8), order=1)
    contrast = 0.35 + 0.65 * severity
    surface.colour += (0.42 * contrast * groove)[..., None]
    surface.colour *= (1 - 0.5 * contrast * ridge * (1 - groove) * surface.plate)[..., None]


def _discoloration(random: np.random.Generator, surface: Surface, severity: float) -> None:
    """A stain without an edge: heat tint, oil or verdigris; 0.25 to 0.6 widgets across, a shift of hue of 0.08 to 0.3.
    It always has a colour: a patch that is only brighter could be the lamp's, and nobody could tell them apart."""
    size = surface.u.shape[0]
    x, y = random.uniform(-0.55, 0.55, 2)
    radius = 0.25 + 0.35 * severity * random.uniform(0.6, 1)
    far = np.hypot(surface.u - np.float32(x), surface.v - np.float32(y)) / radius + 0.25 * smooth_noise(
        random, size, size / 7
    )
    blot = np.exp(-(far.clip(0) ** 2.5)) * surface.plate
    tints = np.array([[0.9, 0.35, -0.6], [0.6, 0.1, -0.7], [-0.4, 0.3, 0.9], [-0.35, 0.55, 0.1]], np.float32)
    tint = tints[random.integers(len(tints))] * (0.08 + 0.22 * severity)
    surface.colour[:] = surface.colour + blot[..., None] * tint * (0.4 + surface.colour)


def _crack(random: np.random.Generator, surface: Surface, severity: float) -> None:
    """A dark jagged line that begins at an edge, of the cap or the plate, and branches; 0.25 to 0.9 widgets long, and
    from 2.6 pixels wide down to a hair of 0.9."""
    in_cap = random.random() < 0.6
    angle = random.uniform(0, 2 * np.pi)
    edge = CAP * 0.98 if in_cap else PLATE * 0.97 / max(abs(np.cos(angle)), abs(np.sin(angle)))
    start = edge * np.array([np.cos(angle), np.sin(angle)])
    length = min((0.25 + 0.65 * severity) * random.uniform(0.85, 1.1), 2 * CAP * 0.9 if in_cap else 1.2)
    width = (0.9 + 1.7 * severity) / PIXELS / 2
    area = surface.cap if in_cap else surface.plate * (1 - surface.cap)
    main = _jagged(random, start, angle + np.pi + random.normal(0, 0.35), length)
    taper = np.linspace(1, 0.45, len(main)).astype(np.float32)
    dark = _stroke(surface, main, width * taper)
    for _ in range(random.integers(0, 2 + round(3 * severity))):
        at = random.integers(len(main) // 4, len(main))
        branch = _jagged(
            random, main[at], angle + np.pi + random.choice([-1, 1]) * random.uniform(0.5, 1.1), length * 0.3
        )
        dark = np.maximum(dark, _stroke(surface, branch, np.full(len(branch), width * 0.55, np.float32)))
    dark = dark * area
    surface.colour *= (1 - (0.6 + 0.3 * severity) * dark)[..., None]
    surface.colour += (0.10 * ndimage.shift(dark, (1.0, 1.0), order=1) * (1 - dark) * area)[..., None]  # the lit lip


def _path(random: np.random.Generator, start: Array, angle: float, length: float, bend: float) -> Array:
    """Points along a smooth curve; [points, 2]."""
    steps = max(6, int(length / 0.02))
    angles = angle + np.cumsum(random.normal(0, bend / np.sqrt(steps), steps))
    moves = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (length / steps)
    return np.asarray(start + np.cumsum(moves, axis=0), np.float32)


def _jagged(random: np.random.Generator, start: Array, angle: float, length: float) -> Array:
    """Points along a line that breaks direction every few hundredths of a widget; [points, 2]."""
    steps = max(5, int(length / 0.035))
    angles = angle + random.normal(0, 0.55, steps) + np.cumsum(random.normal(0, 0.08, steps))
    moves = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (length / steps)
    corners = np.concatenate([np.asarray(start)[None], start + np.cumsum(moves, axis=0)])
    fine = np.linspace(0, steps, steps * 4)
    return np.stack([np.interp(fine, np.arange(steps + 1), corners[:, axis]) for axis in (0, 1)], axis=1).astype(
        np.float32
    )


def _stroke(surface: Surface, path: Array, half_width: Array) -> Array:
    """How much of each pixel a line covers; lines thinner than a pixel cover a share of it."""
    covered = np.zeros_like(surface.u)
    reach = float(half_width.max()) + 2 * surface.pixel
    low, high = path.min(axis=0) - reach, path.max(axis=0) + reach
    near = (surface.u >= low[0]) & (surface.u <= high[0]) & (surface.v >= low[1]) & (surface.v <= high[1])
    u, v = surface.u[near], surface.v[near]
    best = np.zeros(u.shape, np.float32)
    for (x0, y0), (x1, y1), half in zip(path[:-1], path[1:], half_width[1:], strict=True):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((u - x0) * dx + (v - y0) * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
        distance = np.hypot(u - x0 - along * dx, v - y0 - along * dy)
        share = np.minimum(1, 2 * half / surface.pixel)
        best = np.maximum(best, inside(distance - half, surface.pixel) * share)
    covered[near] = best
    return covered


_ON_SURFACE: dict[str, Callable[[np.random.Generator, Surface, float], None]] = {
    "scratch": _scratch,
    "discoloration": _discoloration,
    "crack": _crack,
}
