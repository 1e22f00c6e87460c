"""Self-contained HTML reports: one file, no network, no script but a search box's, light and dark, fit to print.

    from headrace.artifacts import report

    quality = report.section(
        "Quality",
        report.tiles([("AUC", 0.873, "baseline 0.500")]),
        report.line_chart([report.Line("model", points)], "ROC", "False positive rate", "True positive rate"),
    )
    report.write(path, report.page("Evaluation", "churn on the test split", [quality]))

Text is escaped wherever it enters; only what these functions return (`Html`) goes in as it is. Only the
standard library is used, so that every environment can write the same reports.
"""

from headrace.artifacts.report.blocks import (
    Cell,
    Html,
    Kind,
    badge,
    bullets,
    callout,
    code,
    details,
    grid,
    heat_table,
    image,
    key_values,
    link,
    markup,
    meter,
    paragraph,
    prose,
    table,
    tiles,
)
from headrace.artifacts.report.charts import (
    Bar,
    Line,
    bar_chart,
    histogram,
    line_chart,
    mini_bars,
    scatter_chart,
)
from headrace.artifacts.report.numbers import count, number, percent, size
from headrace.artifacts.report.page import page, section, write
from headrace.artifacts.report.search import Entry, entries

__all__ = [
    "Bar",
    "Cell",
    "Entry",
    "Html",
    "Kind",
    "Line",
    "badge",
    "bar_chart",
    "bullets",
    "callout",
    "code",
    "count",
    "details",
    "entries",
    "grid",
    "heat_table",
    "histogram",
    "image",
    "key_values",
    "line_chart",
    "link",
    "markup",
    "meter",
    "mini_bars",
    "number",
    "page",
    "paragraph",
    "percent",
    "prose",
    "scatter_chart",
    "section",
    "size",
    "table",
    "tiles",
    "write",
]
