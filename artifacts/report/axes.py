"""The axes around a chart: how much room their labels need, and where they stand."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from headrace.artifacts.report.scales import Scale, tick_label, ticks
from headrace.artifacts.report.widths import SIGN, shortened

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 26, 42
_NAME_LEFT = 12  # where the name of the y axis begins

Range = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """The plotting area and its two scales; `y_labels` are the ticks of y with their text."""

    x: Scale
    y: Scale
    x_labels: list[tuple[float, str]]
    y_labels: list[tuple[float, str]]

    @classmethod
    def around(cls, xs: Range, ys: Range, y_ticks: bool = True) -> Frame:
        """As much room on the left as the longest label needs, and on the right for half of one."""
        y = Scale(*ys, HEIGHT - _BOTTOM, _TOP)
        y_labels = _labelled(y, 6) if y_ticks else [(0.0, "")]
        left = max(_LEFT, _longest(y_labels) * SIGN + 10)
        x_labels = spread_ticks(Scale(*xs, left, WIDTH - _RIGHT), 7)
        right = max(_RIGHT, _longest(x_labels) * SIGN / 2)
        x = Scale(*xs, left, WIDTH - right)
        return cls(x, y, spread_ticks(x, 7), y_labels)

    def axes(self, x_label: str, y_label: str) -> str:
        """Lines, ticks, and the names of both axes."""
        parts = ['<g class="axis">']
        for value, text in self.y_labels:
            y = self.y(value)
            parts.append(f'<path d="M{self.x.start:g},{y}H{self.x.end:g}"/>')
            if text:
                parts.append(f'<text x="{self.x.start - 8:g}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        for value, text in self.x_labels:
            x = self.x(value)
            parts.append(f'<path d="M{x},{HEIGHT - _BOTTOM}v5"/>')
            parts.append(f'<text x="{x}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{text}</text>')
        middle = (self.x.start + self.x.end) / 2
        room = 2 * min(middle, WIDTH - middle)
        parts.append(_name(x_label, f'x="{middle:g}" y="{HEIGHT - 5}" text-anchor="middle"', room))
        parts.append(_name(y_label, f'x="{_NAME_LEFT}" y="{_TOP - 14}"', WIDTH - _NAME_LEFT) + "</g>")
        return "".join(parts)


def value_axis(scale: Scale, top: float, bottom: float) -> str:
    """Upright lines across a chart of bars, with their labels below."""
    parts = []
    for value, label in spread_ticks(scale, 6):
        x = scale(value)
        parts.append(f'<path d="M{x},{top}V{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    return f'<g class="axis">{"".join(parts)}</g>'


def spread_ticks(scale: Scale, most: int) -> list[tuple[float, str]]:
    """About so many ticks with their labels, fewer where the labels would touch."""
    labelled = _labelled(scale, most)
    while most > 2:
        gap = scale(labelled[1][0]) - scale(labelled[0][0]) if len(labelled) > 1 else math.inf
        if _longest(labelled) * SIGN + 4 <= gap:
            break
        most -= 1
        fewer = _labelled(scale, most)
        # One label alone would not say how far apart values are.
        labelled = fewer if len(fewer) > 1 else [labelled[0], labelled[-1]]
    return labelled


def nothing(height: float) -> str:
    """What stands in a chart that has nothing to draw, so that its empty axes are not taken for a result."""
    return f'<text class="empty" x="{WIDTH / 2:g}" y="{height / 2:g}" text-anchor="middle">Nothing to draw.</text>'


def _labelled(scale: Scale, most: int) -> list[tuple[float, str]]:
    values = ticks(scale.low, scale.high, most)
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) if values else 0.0
    return [(value, tick_label(value, step)) for value in values]


def _longest(labels: list[tuple[float, str]]) -> int:
    return max((len(text) for _, text in labels), default=0)


def _name(text: str, place: str, room: float) -> str:
    """An axis's name, cut where it would run out of the picture; whole where the pointer rests on it."""
    shown = shortened(text, room // SIGN)
    whole = "" if shown == text else f"<title>{html.escape(text)}</title>"
    return f'<text class="name" {place}>{whole}{html.escape(shown)}</text>'
