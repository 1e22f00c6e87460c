"""Charts as inline SVG: lines, points, bars, histograms. Their colours are the page's, light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.artifacts.report.axes import HEIGHT, WIDTH, Frame, Range, nothing, value_axis
from headrace.artifacts.report.blocks import Html, markup
from headrace.artifacts.report.numbers import number
from headrace.artifacts.report.scales import Scale, extent
from headrace.artifacts.report.widths import SIGN, columns, shortened

_COLOURS, _DASHES = 6, 4  # of the page's style
MOST_LINES = _COLOURS * _DASHES  # that can be told apart in one chart
_FEW_DOTS = 30  # up to here a dot of a scatter is larger, so that it is seen on its own
_LABEL = 24  # columns of a bar's label that are shown


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
    points = [point for line in lines for run in _runs(line.points) for point in run]
    bounds = [y for line in lines for pair in line.band for y in pair]
    frame = Frame.around(
        x_range or extent(x for x, _ in points),
        y_range or extent([*(y for _, y in points), *bounds], pad=0.05),
    )
    legend, places = [], {False: 0, True: 0}
    for line in lines:
        place = places[line.dashed]
        legend.append((line.name, _dashes("ref", place) if line.dashed else _style(place)))
        places[line.dashed] += 1
    drawn = [_line(line, style, frame) for line, (_, style) in zip(lines, legend, strict=True)]
    drawn += [] if points else [nothing(HEIGHT)]
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
    shown = [point for run in _runs(points) for point in run]
    xs, ys = extent((x for x, _ in shown), 0.03), extent([*(y for _, y in shown), *([0.0] if zero else [])], 0.05)
    if diagonal:
        xs = ys = (min(xs[0], ys[0]), max(xs[1], ys[1]))
    frame = Frame.around(xs, ys)
    radius = 2.2 if len(shown) > _FEW_DOTS else 3.4
    dots = "".join(f'<circle cx="{frame.x(x)}" cy="{frame.y(y)}" r="{radius}"/>' for x, y in shown)
    reference = ""
    if diagonal:
        reference = _path([(xs[0], xs[0]), (xs[1], xs[1])], frame, "line ref")
    elif zero:
        reference = _path([(xs[0], 0.0), (xs[1], 0.0)], frame, "line ref")
    body = frame.axes(x_label, y_label) + f'<g class="dots s0">{dots}</g>' + (reference if shown else nothing(HEIGHT))
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
    longest = max((columns(bar.label) for bar in bars), default=0)
    left = min(_LABEL, longest) * 7.2 + 16
    step, top = 26, 8
    height = top + step * max(len(bars), 1) + 30
    widest = max((len(number(bar.value, digits)) for bar in bars), default=0)
    scale = Scale(low, high, left, WIDTH - max(52, widest * SIGN + 10))  # the longest figure may stand at the end
    axis = value_axis(scale, top, top + step * len(bars)) if bars else nothing(height)
    drawn = "".join(_bar(bar, scale, top + step * index, digits) for index, bar in enumerate(bars))
    legend = ""
    if reference and bars:
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
    frame = Frame.around(xs, (0.0, top * 1.05), y_ticks=False)
    drawn = []
    for index, (name, (edges, _)) in enumerate(series.items()):
        outline = [(edges[0], 0.0)] if edges else []
        for left, right, value in zip(edges, edges[1:], heights[name], strict=False):
            outline += [(left, value), (right, value)]
        outline += [(edges[-1], 0.0)] if edges else []
        drawn.append(_path(outline, frame, f"area {_style(index)}"))
    drawn += [] if any(map(any, heights.values())) else [nothing(HEIGHT)]
    legend = _legend([(name, _style(index)) for index, name in enumerate(series)]) if len(series) > 1 else ""
    return _figure(title, legend, frame.axes(x_label, "Density") + "".join(drawn), caption)


def mini_bars(counts: Sequence[float], label: str = "distribution") -> Html:
    """A histogram the size of a word, for a table's cell."""
    counts = [value if math.isfinite(value) else 0.0 for value in counts]
    width, height, top = 96, 24, max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{index * step:.1f}" y="{height * (1 - value / top):.1f}" width="{max(step - 1, 0.8):.1f}" '
        f'height="{height * (value / top):.1f}"/>'
        for index, value in enumerate(counts)
    )
    head = f'<svg class="mini s0" viewBox="0 0 {width} {height}" role="img" aria-label="{_text(label)}">'
    return Html(f"{head}{bars}</svg>")


def _style(place: int) -> str:
    """The colour of the line at this place, and beyond the colours a dash too, so that no two are alike."""
    return _dashes(f"s{place % _COLOURS}", place // _COLOURS)


def _dashes(style: str, place: int) -> str:
    return f"{style} d{place % _DASHES}" if place % _DASHES else style


def _line(line: Line, style: str, frame: Frame) -> str:
    parts = []
    if line.band:
        between = [(x, *pair) for (x, _), pair in zip(line.points, line.band, strict=True)]
        for run in _runs(between):
            around = [(x, low) for x, low, _ in run] + [(x, high) for x, _, high in reversed(run)]
            parts.append(_path(around, frame, f"band {style}"))
    path = _path(line.points, frame, f"line {style}")
    parts.append(path.replace("/>", f"><title>{_text(line.name)}</title></path>"))
    # A point that no line leads to or from would not be seen without a mark.
    marked = [point for run in _runs(line.points) if line.marks or len(run) == 1 for point in run]
    if marked:
        dots = "".join(
            f'<circle cx="{frame.x(x)}" cy="{frame.y(y)}" r="3.4"><title>{number(x)}, {number(y)}</title></circle>'
            for x, y in marked
        )
        parts.append(f'<g class="marks {style}">{dots}</g>')
    return "".join(parts)


def _path(points: Sequence[tuple[float, float]], frame: Frame, style: str) -> str:
    runs = ("L".join(f"{frame.x(x)},{frame.y(y)}" for x, y in run) for run in _runs(points))
    return f'<path class="{style}" d="{"".join(f"M{run}" for run in runs)}"/>'


def _runs(points: Sequence[tuple[float, ...]]) -> list[list[tuple[float, ...]]]:
    """The points as they follow each other without one that is not finite between."""
    runs: list[list[tuple[float, ...]]] = [[]]
    for point in points:
        if all(map(math.isfinite, point)):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _bar(bar: Bar, scale: Scale, top: float, digits: int) -> str:
    zero = scale(min(max(0.0, scale.low), scale.high))
    none = math.isnan(bar.value)
    end = zero if none else scale(bar.value)
    middle, right, width = top + 13, max(zero, end), max(abs(end - zero), 1)
    place = f'x="{min(zero, end)}" y="{top + 4}" width="{width:.1f}" height="18" rx="2"'
    shape = "" if none else f'<rect class="bar {"ref" if bar.muted else "s0"}" {place}/>'
    parts = [
        f"<g><title>{_text(bar.label)}: {number(bar.value)}</title>",
        f'<text class="label" x="{scale.start - 10:.1f}" y="{middle + 4}" text-anchor="end">',
        f"{_text(shortened(bar.label, _LABEL))}</text>{shape}",
    ]
    if bar.low is not None and bar.high is not None and not (math.isnan(bar.low) or math.isnan(bar.high)):
        low, high = scale(bar.low), scale(bar.high)
        right = max(right, high)
        whisker = f"M{low},{middle}H{high}M{low},{middle - 4}v8M{high},{middle - 4}v8"
        parts.append(f'<path class="whisker" d="{whisker}"/>')
    value = number(bar.value, digits)
    parts.append(f'<text class="value" x="{right + 6:.1f}" y="{middle + 4}">{value}</text></g>')
    return "".join(parts)


def _density(edges: Sequence[float], counts: Sequence[float]) -> list[float]:
    known = [count if math.isfinite(count) else 0.0 for count in counts]
    total, span = sum(known) or 1.0, (edges[-1] - edges[0] if len(edges) else 0.0)
    if span == 0:
        return [count / total for count in known]  # all rows have one value: a line that stands there
    pairs = zip(edges, edges[1:], known, strict=False)
    found = [count / total * span / (right - left) if right > left else 0.0 for left, right, count in pairs]
    return [value if math.isfinite(value) else 0.0 for value in found]


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    items = "".join(f'<span class="key {style}"><i></i>{_text(name)}</span>' for name, style in entries)
    return f'<div class="legend">{items}</div>'


def _figure(title: str, legend: str, body: str, caption: str, height: float = HEIGHT) -> Html:
    note = f'<p class="caption">{markup(caption)}</p>' if caption else ""
    svg = f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{_text(title)}">{body}</svg>'
    return Html(f"<figure><figcaption>{markup(title)}</figcaption>{legend}{svg}{note}</figure>")


def _text(value: str) -> str:
    return html.escape(value)
