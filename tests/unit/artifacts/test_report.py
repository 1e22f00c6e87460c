"""The report toolkit: escaping, self-containment, and charts that are valid XML."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from headrace.artifacts import report as r

NASTY = "<script>alert('x')</script> & \"quoted\""


def _svg(html: str) -> ET.Element:
    return ET.fromstring(re.search(r"<svg.*?</svg>", html, re.S).group())


@pytest.mark.parametrize(
    "block",
    [
        lambda: r.paragraph(NASTY),
        lambda: r.bullets([NASTY]),
        lambda: r.code(NASTY),
        lambda: r.badge(NASTY),
        lambda: r.callout(NASTY, title=NASTY),
        lambda: r.details(NASTY, r.paragraph("x")),
        lambda: r.tiles([(NASTY, NASTY, NASTY)]),
        lambda: r.key_values([(NASTY, NASTY)]),
        lambda: r.meter(0.5, NASTY),
        lambda: r.table([NASTY], [[NASTY]], caption=NASTY),
        lambda: r.heat_table([NASTY], [NASTY], [[1]], NASTY, NASTY, NASTY),
        lambda: r.section(NASTY, intro=NASTY),
        lambda: r.line_chart([r.Line(NASTY, [(0, 1)]), r.Line("b", [(0, 1)])], NASTY, NASTY, NASTY, caption=NASTY),
        lambda: r.bar_chart([r.Bar(NASTY, 1.0)], NASTY, reference=(NASTY, 0.5)),
        lambda: r.histogram({NASTY: ([0, 1], [1]), "b": ([0, 1], [1])}, NASTY, NASTY),
        lambda: r.scatter_chart([(0, 1)], NASTY, NASTY, NASTY),
        lambda: r.mini_bars([1, 2], NASTY),
        lambda: r.page(NASTY, NASTY, facts=[(NASTY, NASTY)]),
    ],
)
def test_text_is_escaped_wherever_it_enters(block):
    html = str(block())
    assert "<script" not in html
    assert "&lt;script&gt;" in html or "&lt;s" in html  # a long label of a bar is cut


def test_a_page_fetches_nothing_and_runs_nothing():
    chart = r.line_chart([r.Line("a", [(0, 0), (1, 1)])], "Chart")
    html = r.page("Title", "sub", [r.section("One", chart)], status=r.badge("passed", "good"))
    assert not re.search(r"https?://|url\(|@import|<script|<link|src=", html)
    assert "default-src 'none'" in html
    assert html.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in html


def test_text_in_place_of_a_block_is_refused():
    with pytest.raises(TypeError, match=r"expected a block made by the report's functions\. Received: '<b>'"):
        r.section("One", "<b>")


def test_contents_link_to_sections():
    html = r.page("t", "", [r.section(name) for name in ("Quality & more", "Curves", "Slices")])
    assert '<a href="#quality-more">Quality &amp; more</a>' in html
    assert '<section id="quality-more">' in html
    assert "<nav" not in r.page("t", "", [r.section("Quality")])


def test_table_aligns_numbers_right_and_checks_its_shape():
    html = r.table(["name", "value"], [["a", 1.5], ["b", None]])
    assert '<td class="l">a</td><td class="r">1.5</td>' in html
    assert '<td class="r">–</td>' in html
    with pytest.raises(ValueError, match=r"expected 2 cells in each row. Received: \[1\]"):
        r.table(["a", "b"], [["x"]])
    with pytest.raises(ValueError, match=r"expected 2 letters of l, r, c, w\. Received: align='lx'"):
        r.table(["a", "b"], [["x", 1]], "lx")
    assert "Nothing to show." in r.table(["a"], [])


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"expected one of good, bad, warn, info, neutral\. Received: kind='god'"):
        r.badge("x", "god")


def test_line_chart_maps_values_to_pixels_and_breaks_at_nan():
    chart = r.line_chart([r.Line("a", [(0, 0), (0.5, math.nan), (1, 1)])], "t", x_range=(0, 1), y_range=(0, 1))
    path = next(p for p in _svg(chart).iter() if p.get("class") == "line s0")
    assert path.get("d") == "M52.0,258.0M466.0,26.0"  # bottom left, and top right after the gap
    labels = [text.text for text in _svg(chart).iter() if text.tag.endswith("text")]
    assert labels.count("0.2") == 2 and labels.count("1.0") == 2


def test_bar_chart_draws_length_by_value():
    bars = [r.Bar("a", 2.0), r.Bar("b", 1.0, low=0.5, high=1.5)]
    rects = [item for item in _svg(r.bar_chart(bars, "t")).iter() if item.tag.endswith("rect")]
    widths = [float(item.get("width")) for item in rects]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
    assert _svg(r.bar_chart([], "none")) is not None


def test_a_bar_charts_figures_stay_inside_and_apart():
    bars = [r.Bar("a label of a good length", -0.264, low=-0.33, high=-0.2), r.Bar("b", 0.000792), r.Bar("c", -0.00591)]
    texts = [item for item in _svg(r.bar_chart(bars, "t")).iter() if item.tag.endswith("text")]
    values = [item for item in texts if item.get("class") == "value"]
    assert [value.text for value in values] == ["−0.264", "0.000792", "−0.00591"]
    assert all(float(value.get("x")) + 6.8 * len(value.text) <= 480 for value in values)
    ticks = [(float(item.get("x")), item.text) for item in texts if item.get("text-anchor") == "middle"]
    assert len(ticks) > 1
    for (left, first), (right, second) in itertools.pairwise(ticks):
        assert right - left >= 6.5 * (len(first) + len(second)) / 2


def test_histogram_compares_splits_of_different_size():
    drawn = _svg(r.histogram({"train": ([0, 1, 2], [100, 300]), "eval": ([0, 1, 2], [1, 3])}, "t"))
    outlines = [item.get("d") for item in drawn.iter() if str(item.get("class")).startswith("area")]
    assert outlines[0] == outlines[1]


@pytest.mark.parametrize("points", [[], [(1, 1)], [(math.inf, 0)], [(5, 5), (5, 5)]])
def test_charts_of_nearly_nothing_are_drawn(points):
    for chart in (r.line_chart([r.Line("a", points)], "t"), r.scatter_chart(points, "t", diagonal=True)):
        assert "nan" not in ET.tostring(_svg(chart)).decode()


def test_only_the_standard_library_is_imported():
    code = (
        "import sys; before = set(sys.modules); import headrace.artifacts.report; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(m for m in new if m not in sys.stdlib_module_names and m != 'headrace'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_write_leaves_the_file(tmp_path):
    r.write(tmp_path / "page.html", r.page("t"))
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def _list(**more):
    rows = [r.Entry(f"row-{i}", f"{NASTY} {i}", [NASTY, i], [r.paragraph(NASTY)], opened=i == 1) for i in range(3)]
    return r.entries("rows", ["Name", "Number"], rows, "name", **more)


def test_entries_unfold_and_cannot_inject_markup():
    block = _list()
    assert block.count("<details") == 3
    assert block.count(" open>") == 1
    assert "<script" not in block
    assert "<script" not in block.lower()
    assert (
        'id="row-2" data-words="&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;quoted&quot; 2"' in block
    )
    with pytest.raises(ValueError, match="expected 2 cells in each entry"):
        r.entries("rows", ["Name", "Number"], [r.Entry("a", "a", ["only one"])])


def test_only_a_page_with_a_search_box_has_a_script_and_its_policy_lets_only_that_one_run():
    plain, searched = r.page("Plain", sections=[r.section("A")]), r.page("Searched", sections=[r.section("A", _list())])
    assert "<script>" not in plain
    assert "script-src" not in plain
    (script,) = re.findall(r"<script>(.*?)</script>", searched, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'\"" in searched
    assert "http" not in script
    assert '<label class="find" hidden>' in searched  # where no script may run, there is no box that does nothing


def test_a_picture_is_a_data_uri():
    assert 'src="data:image/png;base64,AAAA"' in r.image("data:image/png;base64,AAAA", "a cat")
    assert NASTY not in r.image("data:image/png;base64,AAAA", NASTY, NASTY)
    with pytest.raises(ValueError, match="expected a picture as a data URI"):
        r.image("https://example.com/cat.png", "a cat")
