"""Charts as inline SVG: lines, points, bars, histograms. Their colours are the page's, light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.artifacts.report.blocks import Html, markup
from headrace.artifacts.report.numbers import number
from headrace.artifacts.report.scales import Scale, extent, tick_label, ticks

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 26, 42
_COLOURS = 6
_LABEL = 24  # characters of a bar's label that are shown
_SIGN = 6.8  # pixels of a figure's width, at most

Range = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line of a chart. Points that are not finite break it."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False  # a reference rather than a measurement
    marks: bool = False  # a dot at each point
    band: Sequence[tuple[float, float]] = ()  # (low, high) per point: an interval


@dataclass(frozen=True)
class Bar:
    """One bar: a value, and an interval around it where there is one."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    muted: bool = False  # a reference rather than a measurement


def line_chart(
    lines: Sequence[Line],
    title: str,
    x_label: str = "",
    y_label: str = "",
    x_range: Range | None = None,
    y_range: Range | None = None,
    caption: str = "",
) -> Html:
    """Lines over a common x axis: ROC, precision-recall, calibration, learning curves."""
    points = [point for line in lines for point in line.points]
    bounds = [y for line in lines for pair in line.band for y in pair]
    frame = _Frame.around(
        x_range or extent(x for x, _ in points),
        y_range or extent([*(y for _, y in points), *bounds], pad=0.05),
    )
    drawn, colour, legend = [], 0, []
    for line in lines:
        style = "ref" if line.dashed else f"s{colour % _COLOURS}"
        colour += not line.dashed
        legend.append((line.name, style))
        drawn.append(_line(line, style, frame))
    shown = _legend(legend) if len(lines) > 1 else ""
    return _figure(title, shown, frame.axes(x_label, y_label) + "".join(drawn), caption)


def scatter_chart(
    points: Sequence[tuple[float, float]],
    title: str,
    x_label: str = "",
    y_label: str = "",
    diagonal: bool = False,
    zero: bool = False,
    caption: str = "",
) -> Html:
    """Points; with `diagonal` the line y = x and equal ranges, with `zero` the line y = 0."""
    xs, ys = extent((x for x, _ in points), 0.03), extent((y for _, y in points), 0.05)
    if diagonal:
        xs = ys = (min(xs[0], ys[0]), max(xs[1], ys[1]))
    frame = _Frame.around(xs, ys)
    dots = "".join(
        f'<circle cx="{frame.x(x)}" cy="{frame.y(y)}" r="2.2"/>'
        for x, y in points
        if math.isfinite(x) and math.isfinite(y)
    )
    reference = ""
    if diagonal:
        reference = _path([(xs[0], xs[0]), (xs[1], xs[1])], frame, "line ref")
    elif zero:
        reference = _path([(xs[0], 0.0), (xs[1], 0.0)], frame, "line ref")
    body = frame.axes(x_label, y_label) + f'<g class="dots s0">{dots}</g>' + reference
    return _figure(title, "", body, caption)


def bar_chart(
    bars: Sequence[Bar],
    title: str,
    value_range: Range | None = None,
    reference: tuple[str, float] | None = None,
    digits: int = 3,
    caption: str = "",
) -> Html:
    """Horizontal bars from zero, each with its value; `reference`, (name, value), is a dashed line across."""
    ends = [end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None]
    low, high = value_range or extent([0.0, *ends, *([reference[1]] if reference else [])])
    longest = max((len(bar.label) for bar in bars), default=0)
    left = min(_LABEL, longest) * 7.2 + 16
    step, top = 26, 8
    height = top + step * len(bars) + 30
    widest = max((len(number(bar.value, digits)) for bar in bars), default=0)
    scale = Scale(low, high, left, WIDTH - max(52, widest * _SIGN + 10))  # the longest figure may stand at the end
    axis = _value_axis(scale, top, top + step * len(bars))
    drawn = "".join(_bar(bar, scale, top + step * index, digits) for index, bar in enumerate(bars))
    legend = ""
    if reference:
        x = scale(reference[1])
        drawn += f'<path class="line ref" d="M{x},{top}V{top + step * len(bars)}"/>'
        legend = _legend([(f"{reference[0]} {number(reference[1], digits)}", "ref")])
    return _figure(title, legend, axis + drawn, caption, height=height)


def histogram(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_label: str = "",
    caption: str = "",
) -> Html:
    """Distributions over each other, one per split: name -> (n + 1 edges, n counts).

    Drawn is the density: the share of rows in a bin divided by the bin's width relative to the range, so
    that splits of different sizes and bins of different widths compare.
    """
    heights = {name: _density(edges, counts) for name, (edges, counts) in series.items()}
    xs = extent(edge for edges, _ in series.values() for edge in edges)
    top = max((value for values in heights.values() for value in values), default=1.0) or 1.0
    frame = _Frame.around(xs, (0.0, top * 1.05))
    drawn = []
    for index, (name, (edges, _)) in enumerate(series.items()):
        outline = [(edges[0], 0.0)] if edges else []
        for left, right, value in zip(edges, edges[1:], heights[name], strict=False):
            outline += [(left, value), (right, value)]
        outline += [(edges[-1], 0.0)] if edges else []
        drawn.append(_path(outline, frame, f"area s{index % _COLOURS}"))
    legend = _legend([(name, f"s{index % _COLOURS}") for index, name in enumerate(series)]) if len(series) > 1 else ""
    return _figure(title, legend, frame.axes(x_label, "Density", y_ticks=False) + "".join(drawn), caption)


def mini_bars(counts: Sequence[float], label: str = "distribution") -> Html:
    """A histogram the size of a word, for a table's cell."""
    width, height, top = 96, 24, max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{index * step:.1f}" y="{height * (1 - value / top):.1f}" width="{max(step - 1, 0.8):.1f}" '
        f'height="{height * value / top:.1f}"/>'
        for index, value in enumerate(counts)
    )
    head = f'<svg class="mini s0" viewBox="0 0 {width} {height}" role="img" aria-label="{_text(label)}">'
    return Html(f"{head}{bars}</svg>")


@dataclass(frozen=True)
class _Frame:
    """The plotting area and its two scales."""

    x: Scale
    y: Scale

    @classmethod
    def around(cls, xs: Range, ys: Range) -> _Frame:
        return cls(Scale(*xs, _LEFT, WIDTH - _RIGHT), Scale(*ys, HEIGHT - _BOTTOM, _TOP))

    def axes(self, x_label: str, y_label: str, y_ticks: bool = True) -> str:
        parts = ['<g class="axis">']
        values = ticks(self.y.low, self.y.high, 6)
        for value in values if y_ticks else [0.0]:
            y = self.y(value)
            parts.append(f'<path d="M{_LEFT},{y}H{WIDTH - _RIGHT}"/>')
            if y_ticks:
                text = tick_label(value, _step(values))
                parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        values = ticks(self.x.low, self.x.high, 7)
        for value in values:
            x, text = self.x(value), tick_label(value, _step(values))
            parts.append(f'<path d="M{x},{HEIGHT - _BOTTOM}v5"/>')
            parts.append(f'<text x="{x}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{text}</text>')
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        parts.append(f'<text class="name" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{_text(x_label)}</text>')
        parts.append(f'<text class="name" x="{_LEFT - 40}" y="{_TOP - 14}">{_text(y_label)}</text></g>')
        return "".join(parts)


def _line(line: Line, style: str, frame: _Frame) -> str:
    parts = []
    if line.band:
        low = [(x, pair[0]) for (x, _), pair in zip(line.points, line.band, strict=True)]
        high = [(x, pair[1]) for (x, _), pair in zip(line.points, line.band, strict=True)]
        parts.append(_path([*low, *reversed(high)], frame, f"band {style}"))
    parts.append(_path(line.points, frame, f"line {style}"))
    if line.marks:
        dots = "".join(
            f'<circle cx="{frame.x(x)}" cy="{frame.y(y)}" r="3.4"><title>{number(x)}, {number(y)}</title></circle>'
            for x, y in line.points
            if math.isfinite(x) and math.isfinite(y)
        )
        parts.append(f'<g class="marks {style}">{dots}</g>')
    return "".join(parts)


def _path(points: Sequence[tuple[float, float]], frame: _Frame, style: str) -> str:
    commands, pen = [], "M"
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        commands.append(f"{pen}{frame.x(x)},{frame.y(y)}")
        pen = "L"
    return f'<path class="{style}" d="{"".join(commands)}"/>'


def _bar(bar: Bar, scale: Scale, top: float, digits: int) -> str:
    zero, end = scale(min(max(0.0, scale.low), scale.high)), scale(bar.value)
    label = bar.label if len(bar.label) <= _LABEL else bar.label[: _LABEL - 1] + "…"
    middle, right, width = top + 13, max(zero, end), max(abs(end - zero), 1)
    shape = f'x="{min(zero, end)}" y="{top + 4}" width="{width:.1f}" height="18" rx="2"'
    parts = [
        f"<g><title>{_text(bar.label)}: {number(bar.value)}</title>",
        f'<text class="label" x="{scale.start - 10:.1f}" y="{middle + 4}" text-anchor="end">',
        f'{_text(label)}</text><rect class="bar {"ref" if bar.muted else "s0"}" {shape}/>',
    ]
    if bar.low is not None and bar.high is not None:
        low, high = scale(bar.low), scale(bar.high)
        right = max(right, high)
        whisker = f"M{low},{middle}H{high}M{low},{middle - 4}v8M{high},{middle - 4}v8"
        parts.append(f'<path class="whisker" d="{whisker}"/>')
    value = number(bar.value, digits)
    parts.append(f'<text class="value" x="{right + 6:.1f}" y="{middle + 4}">{value}</text></g>')
    return "".join(parts)


def _value_axis(scale: Scale, top: float, bottom: float) -> str:
    parts = []
    for value, label in _spread_ticks(scale):
        x = scale(value)
        parts.append(f'<path d="M{x},{top}V{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    return f'<g class="axis">{"".join(parts)}</g>'


def _spread_ticks(scale: Scale) -> list[tuple[float, str]]:
    """About six ticks with their labels, fewer where the labels would touch."""
    labelled: list[tuple[float, str]] = []
    for most in (6, 5, 4, 3, 2):
        values = ticks(scale.low, scale.high, most)
        labelled = [(value, tick_label(value, _step(values))) for value in values]
        gap = scale(values[1]) - scale(values[0]) if len(values) > 1 else math.inf
        if max((len(label) for _, label in labelled), default=0) * _SIGN + 4 <= gap:
            break
    return labelled


def _density(edges: Sequence[float], counts: Sequence[float]) -> list[float]:
    total, span = sum(counts), (edges[-1] - edges[0] if len(edges) else 0.0)
    pairs = zip(edges, edges[1:], counts, strict=False)
    return [count / total * span / (right - left) if total and right > left else 0.0 for left, right, count in pairs]


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    items = "".join(f'<span class="key {style}"><i></i>{_text(name)}</span>' for name, style in entries)
    return f'<div class="legend">{items}</div>'


def _figure(title: str, legend: str, body: str, caption: str, height: float = HEIGHT) -> Html:
    note = f'<p class="caption">{markup(caption)}</p>' if caption else ""
    svg = f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{_text(title)}">{body}</svg>'
    return Html(f"<figure><figcaption>{markup(title)}</figcaption>{legend}{svg}{note}</figure>")


def _step(values: Sequence[float]) -> float:
    return values[1] - values[0] if len(values) > 1 else abs(values[0]) if values else 0.0


def _text(value: str) -> str:
    return html.escape(value)
