"""Charts whatever is in them: many lines, long names, values of any size, values that are missing, nothing at all."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from headrace.artifacts import report as r
from headrace.artifacts.report import charts
from headrace.artifacts.report.charts import MOST_LINES
from headrace.artifacts.report.scales import extent, tick_label, ticks
from headrace.artifacts.report.widths import columns

LONG = "a_name_of_sixty_characters_that_has_no_space_" * 2
NAMES = [LONG, "类别" * 30, "هذا اسم طويل جدا لفئة من الفئات", "👩‍👧🎉" * 10, "<script>alert(1)</script>", "Jan"]
STYLE = Path(charts.__file__).with_name("style.css").read_text(encoding="utf-8")


def _svg(html: str) -> ET.Element:
    return ET.fromstring(re.search(r"<svg.*?</svg>", html, re.S).group())


def _texts(chart: str, anchor: str) -> list[tuple[float, str]]:
    texts = (item for item in _svg(chart).iter() if item.tag == "text" and item.get("class") is None)
    return [(float(item.get("x")), item.text) for item in texts if item.get("text-anchor") == anchor]


def _classes(chart: str) -> list[str]:
    return [item.get("class") for item in _svg(chart).iter() if str(item.get("class")).startswith(("line", "area"))]


def _line(*values: float) -> r.Html:
    return r.line_chart([r.Line("a", list(enumerate(values)))], "t", "x", "y")


def test_as_many_lines_as_are_told_apart_have_a_colour_and_a_dash_of_their_own():
    lines = [r.Line(f"class {n}", [(0, n), (1, n)]) for n in range(MOST_LINES)]
    chart = r.line_chart([*lines, r.Line("chance", [(0, 0)], dashed=True), r.Line("all", [(0, 1)], dashed=True)], "t")
    found = _classes(chart)
    assert len(set(found)) == len(found) == MOST_LINES + 2 and MOST_LINES >= 18
    keys = re.findall(r'class="key ([^"]*)"', chart)
    assert keys == [style.removeprefix("line ") for style in found]
    for dash in {word for style in found for word in style.split() if re.fullmatch(r"d\d", word)}:
        assert f".line.{dash}" in STYLE and f".key.{dash} i" in STYLE
    assert "<title>class 7</title>" in chart  # where the pointer rests on a line, its name is shown


def test_histograms_have_lines_of_their_own_too():
    found = _classes(r.histogram({f"split {n}": ([0, 1], [1]) for n in range(12)}, "t"))
    assert len(set(found)) == 12


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_no_two_colours_of_lines_look_the_same_to_any_kind_of_eye(mode):
    """As the dichromat's eye is simulated by Machado, Oliveira and Fernandes (2009)."""
    light, dark = STYLE.split("prefers-color-scheme: dark")[:2]
    colours = re.findall(r"--s\d: #(\w{6})", light if mode == "light" else dark.split("@media")[0])
    assert len(colours) == 6
    eyes = {
        "protan": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
        "deutan": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
        "tritan": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
    }
    for eye, matrix in eyes.items():
        seen = [_lab([sum(map(math.prod, zip(row, _linear(one), strict=True))) for row in matrix]) for one in colours]
        assert min(math.dist(a, b) for a, b in itertools.combinations(seen, 2)) > 12, eye


def _linear(colour: str) -> list[float]:
    return [((int(colour[i : i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (0, 2, 4)]


def _lab(rgb: list[float]) -> tuple[float, float, float]:
    red, green, blue = (min(max(part, 0.0), 1.0) for part in rgb)
    x, y, z = (
        (0.4339 * red + 0.3762 * green + 0.1899 * blue) ** (1 / 3),
        (0.2126 * red + 0.7152 * green + 0.0722 * blue) ** (1 / 3),
        (0.0177 * red + 0.1095 * green + 0.8728 * blue) ** (1 / 3),
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize(
    "values",
    [
        (0.00465, 0.0046),
        (0.5, 0.500004),
        (1e12, 1e12 + 4),
        (-1e6, -1e6 - 4),
        (1e-9, 5e-9),
        (1.7e15, 1.70001e15),
        (7, 7),
    ],
)
def test_no_label_of_an_axis_is_cut_or_touches_the_next_or_is_there_twice(values):
    for chart in (_line(*values), r.scatter_chart([(value, value) for value in values], "t", diagonal=True)):
        upright = _texts(chart, "end")
        assert len({text for _, text in upright}) == len(upright) > 2
        assert all(x - 7.6 * len(text) >= 0 for x, text in upright)
        below = _texts(chart, "middle")
        assert len({text for _, text in below}) == len(below) > 1
        assert all(x + 7.6 * len(text) / 2 <= charts.WIDTH for x, text in below)
        for (left, first), (right, second) in itertools.pairwise(below):
            assert right - left >= 7.6 * (len(first) + len(second)) / 2


def test_the_plot_begins_where_the_labels_end():
    narrow, wide = (_svg(_line(*values)) for values in ((0, 1), (0.00465, 0.0046)))
    starts = [
        float(next(item for item in svg.iter() if item.get("d")).get("d")[1:].split(",")[0]) for svg in (narrow, wide)
    ]
    assert starts[0] == 52 and starts[1] > 60


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (1234600000, 100000, "1,234.6M"),
        (1500000, 500000, "1.5M"),
        (1000002, 1, "1,000,002"),
        (2e12, 1e12, "2T"),
        (1.72e15, 1e13, "1.72e+15"),
        (-3e-9, 1e-9, "−3e−09"),
    ],
)
def test_a_tick_has_the_digits_that_tell_it_from_the_next(value, step, text):
    assert tick_label(value, step) == text


def test_names_of_axes_and_bars_stay_inside_and_are_whole_under_the_pointer():
    for name in NAMES:
        chart = r.line_chart([r.Line("a", [(0, 0), (1, 1)])], "t", name, f"Share of all {name}")
        for text in (item for item in _svg(chart).iter() if item.get("class") == "name"):
            shown = text[0].tail if len(text) else text.text
            assert 7 * columns(shown) <= charts.WIDTH - (12 if text.get("text-anchor") is None else 38)
            assert not len(text) or text[0].text.endswith(name)
        label = next(item for item in _svg(r.bar_chart([r.Bar(name, 1.0)], "t")).iter() if item.get("class") == "label")
        assert float(label.get("x")) - 7.2 * columns(label.text) >= 0


def test_a_point_without_neighbours_is_marked():
    assert _line(5.0).count("<circle") == 1
    assert _line(1.0, math.nan, 2.0, math.nan, 3.0, 4.0).count("<circle") == 2
    assert _line(1.0, 2.0).count("<circle") == 0


def test_a_band_has_a_gap_where_an_end_is_missing():
    band = [(0.0, 1.0), (0.0, 1.0), (math.nan, 1.0), (0.0, 1.0), (0.0, 1.0)]
    chart = r.line_chart([r.Line("a", [(x, 0.5) for x in range(5)], band=band)], "t")
    assert sum(str(item.get("class")).startswith("band") for item in _svg(chart).iter()) == 2


@pytest.mark.parametrize(
    "chart",
    [
        r.line_chart([], "t"),
        r.line_chart([r.Line("a", [(0, math.nan)]), r.Line("b", [])], "t"),
        r.scatter_chart([], "t", diagonal=True),
        r.bar_chart([], "t", reference=("mean", 1.0)),
        r.histogram({}, "t"),
        r.histogram({"a": ([0, 1], [0])}, "t"),
    ],
)
def test_a_chart_of_nothing_says_so(chart):
    assert "Nothing to draw." in chart and "nan" not in chart


def test_a_chart_of_something_does_not():
    for chart in (_line(1.0), r.bar_chart([r.Bar("a", 0.0)], "t"), r.histogram({"a": ([0, 1], [2])}, "t")):
        assert "Nothing to draw." not in chart


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e308, 5e-324, 2e-310])
def test_a_value_that_is_no_number_or_beyond_all_bounds_spoils_no_chart(odd):
    drawn = [
        _line(odd, 1.0, odd, 0.0, -odd),
        r.line_chart([r.Line("a", [(0, 1), (1, 2)], band=[(odd, 1), (0, odd)])], "t"),
        r.scatter_chart([(0, 1), (odd, 2), (1, odd)], "t", diagonal=True),
        r.bar_chart([r.Bar("a", odd), r.Bar("b", 1.0, low=odd, high=odd), r.Bar("c", -2.0)], "t"),
        r.histogram({"a": ([0, 1, 2], [odd, 3]), "b": ([-odd, 1, odd], [1, 3])}, "t"),
        r.mini_bars([odd, 1.0]),
    ]
    for chart in drawn:
        assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', chart)


@pytest.mark.parametrize("values", [(2e-310, 2e-310), (0, 5e-324), (0, 2e-310), (3e-301, 3e-301), (-1e308, 0, 1)])
def test_a_range_that_is_too_small_or_too_large_for_ticks_is_another(values):
    low, high = extent(values)
    assert 1e-300 <= high - low < 1e300 and len(ticks(low, high)) > 1


def test_bins_without_ends_do_not_hide_the_others():
    known = {"b": ([0, 1, 2], [1, 3])}
    both = r.histogram({"a": ([-math.inf, 1, math.inf], [1, 3]), **known}, "t")
    drawn = [item.get("d") for item in _svg(both).iter() if str(item.get("class")).startswith("area")]
    alone = next(item.get("d") for item in _svg(r.histogram(known, "t")).iter() if item.get("class") == "area s0")
    assert drawn[1] == alone


def test_what_is_not_drawn_does_not_stretch_the_axes():
    with_hole = r.scatter_chart([(0, 1e-9), (1, 2e-9), (math.nan, 1.0)], "t")
    assert _texts(with_hole, "end") == _texts(r.scatter_chart([(0, 1e-9), (1, 2e-9)], "t"), "end")


def test_the_line_at_zero_is_at_zero():
    chart = r.scatter_chart([(0, 5), (1, 6)], "t", zero=True)
    assert "0" in [text for _, text in _texts(chart, "end")]


def test_rows_that_all_have_one_value_stand_there_in_a_histogram():
    outline = next(
        item.get("d") for item in _svg(r.histogram({"a": ([5, 5], [10])}, "t")).iter() if item.get("class") == "area s0"
    )
    heights = {float(y) for y in re.findall(r",([\d.]+)", outline)}
    assert len(heights) == 2


def _matrix(names: list[str]) -> r.Html:
    return r.heat_table(names, names, [[1] * len(names)] * len(names), "Confusion matrix")


@pytest.mark.parametrize(
    ("classes", "wide", "dense"), [(2, False, False), (4, False, False), (7, True, False), (20, True, True)]
)
def test_a_matrix_of_many_classes_is_as_wide_as_the_page_and_its_cells_are_small(classes, wide, dense):
    html = _matrix([f"c{n}" for n in range(classes)])
    assert ('<figure class="wide">' in html) == wide
    assert ("dense" in html) == dense
    assert "figure.wide { max-width: none; grid-column: 1 / -1; }" in STYLE
    assert "turned" not in html  # short names need no turning


def test_long_names_of_a_dense_matrix_are_turned_and_cut_and_whole_in_their_rows():
    html = _matrix([f"{n} {LONG}" for n in range(12)])
    assert 'class="heat dense turned"' in html
    head, body = html.split("<tbody>")
    assert head.count(LONG) == head.count(f'{LONG}"><span>') == 12
    assert body.count(f'<th scope="row">7 {LONG}</th>') == 1


def test_the_heading_of_a_matrix_stays_in_view_where_its_middle_does_not():
    assert '<th scope="colgroup" class="c" colspan="12"><span>Predicted</span></th>' in _matrix(
        [str(n) for n in range(12)]
    )
    assert re.search(r'thead th\[scope="colgroup"\] span \{ position: sticky; left: \S+; right: \S+; \}', STYLE)
