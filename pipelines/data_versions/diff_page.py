"""What changed between two data versions, as one self-contained page."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.pipelines.data_versions.diff import DataDiff
from headrace.pipelines.data_versions.diff_text import SEEN, gist, missing_text, value_text
from headrace.pipelines.data_versions.distributions import QUANTILES, Distribution, Summary, shown

STABLE_PSI, OTHER_PSI = 0.1, 0.25  # how a population stability index is usually read
_DRAWN = 60  # columns with a chart; all are in the table
_VALUES = 12  # of a text in its table


def diff_page(diff: DataDiff) -> str:
    """The page as one HTML document."""
    rows = diff.rows
    same = "same rows, same splits" if diff.nothing else "different"
    status = r.badge("leaks", "bad") if diff.leaks else r.badge(same, "good" if diff.nothing else "info")
    sections = [_summary(diff), _made(diff), _rows(diff), _distributions(diff)]
    drawn = [one for one in diff.distributions if one.changed][:_DRAWN]
    if drawn:
        sections.append(r.section("Column by column", *(_column(one, diff.label) for one in drawn)))
    subtitle = f"{diff.before[:19]} to {diff.after[:19]} · {r.count(rows.before)} to {r.count(rows.after)} rows"
    facts = [("Before", diff.before), ("After", diff.after)]
    return r.page("Data versions", subtitle, [s for s in sections if s is not None], status=status, facts=facts)


def _summary(diff: DataDiff) -> r.Html:
    rows = diff.rows
    how = f"by `{rows.by}`" if rows.by else "by content"
    tiles = [
        ("Rows", rows.after, f"{rows.after - rows.before:+,}"),
        ("Added", rows.added, how),
        ("Removed", rows.removed, how),
        ("Changed", rows.changed if rows.by else None, how if rows.by else "rows have no common id"),
        ("Columns that differ", len(diff.columns), "added, removed or retyped"),
    ]
    blocks = [r.tiles(tiles)]
    for moved in diff.leaks:
        such = f" Such as {', '.join(moved.ids)}." if moved.ids else ""
        text = f"{moved.rows:,} rows of train are in {moved.after} now.{such} {SEEN}"
        blocks.append(r.callout(text, "bad", "Leakage across versions."))
    return r.section("What changed", *blocks)


def _made(diff: DataDiff) -> r.Html | None:
    blocks = []
    if diff.columns:
        lines = [(c.name, c.before or "–", c.after or "–") for c in diff.columns]
        blocks.append(r.table(["Column", "Type before", "Type after"], lines))
    if diff.facts:
        told = [(c.what, value_text(c.before), value_text(c.after)) for c in diff.facts]
        blocks.append(r.table(["Made with", "Before", "After"], told, "lww"))
    return r.section("Columns and origin", *blocks) if blocks else None


def _rows(diff: DataDiff) -> r.Html | None:
    rows, blocks = diff.rows, []
    if diff.nothing:
        return None
    examples = [(kind, ", ".join(ids)) for kind, ids in rows.ids.items() if ids]
    if examples:
        blocks.append(r.table(["Rows", "Such as"], examples, "lw"))
    if rows.columns:
        lines = [(c.name, c.rows, ", ".join(c.ids)) for c in rows.columns]
        blocks.append(r.table(["Column", "Rows with another value", "Such as"], lines, "lrw"))
    splits = [(split, before, after, after - before) for split, (before, after) in diff.splits.items()]
    blocks.append(r.table(["Split", "Rows before", "Rows after", "Difference"], splits))
    if rows.moved:
        moves = [(m.before, m.after, m.rows, ", ".join(m.ids)) for m in rows.moved]
        blocks.append(r.table(["From split", "To split", "Rows", "Such as"], moves, "llrw"))
    return r.section("Rows", *blocks)


def _distributions(diff: DataDiff) -> r.Html:
    lines = []
    for one in diff.distributions:
        name = f"{one.name} (label)" if one.name == diff.label else one.name
        kind: r.blocks.Kind = "bad" if one.psi > OTHER_PSI else "warn" if one.psi > STABLE_PSI else "info"
        lines.append((name, r.meter(one.js, f"{one.js:.4f}", kind), round(one.psi, 4), missing_text(one), gist(one)))
    headers = ["Column", "Jensen-Shannon, bits", "PSI", "Missing", "Mean, or what changed most"]
    intro = (
        "Both measures are over the same bins: the deciles of the earlier version and what is outside of its range, "
        "or single values. A population stability index below 0.1 is usually read as stable, above 0.25 as another "
        "population."
    )
    return r.section("Distributions", r.table(headers, lines, "llrll"), intro=intro)


def _column(one: Distribution, label: str) -> r.Html:
    title = f"{one.name}{' (label)' if one.name == label else ''} · JS {one.js:.4f}"
    if one.kind == "value" or all(each.upper is None for each in one.bins):
        return r.details(title, _values(one), opened=one.psi > STABLE_PSI)
    return r.details(title, r.grid(_histogram(one), _quantiles(one)), opened=one.psi > STABLE_PSI)


def _values(one: Distribution) -> r.Html:
    lines: list[tuple[r.blocks.Cell, ...]] = []
    for each in sorted(one.bins, key=lambda each: -(each.before + each.after))[:_VALUES]:
        before, after = each.before / max(one.before.rows, 1), each.after / max(one.after.rows, 1)
        meters = r.meter(before, kind="neutral"), r.meter(after, kind="info")
        lines.append((value_text(each.label), *meters, each.before, each.after))
    return r.table(["Value", "Share before", "Share after", "Rows before", "Rows after"], lines, "lllrr")


def _histogram(one: Distribution) -> r.Html:
    inner = [each for each in one.bins if each.label != "missing"]
    low = min(side.min for side in (one.before, one.after) if side.min is not None)
    high = max(side.max for side in (one.before, one.after) if side.max is not None)
    edges = [low, *(each.upper for each in inner if each.upper is not None), high]
    series = {
        "before": (edges, [each.before for each in inner]),
        "after": (edges, [each.after for each in inner]),
    }
    unit = {"date": "days since 1970-01-01", "timestamp": "microseconds since 1970-01-01 (UTC)"}.get(one.kind, "")
    return r.histogram(series, one.name, unit)


def _quantiles(one: Distribution) -> r.Html:
    def cells(side: Summary) -> list[str]:
        values = [side.min, *(side.quantiles or [None] * len(QUANTILES)), side.max, side.mean]
        spread = "–" if side.std is None else f"{side.std:.6g}"
        return ["–" if value is None else shown(value, one.kind) for value in values] + [
            spread,
            r.percent(side.missing_share),
        ]

    names = ["least", *(f"{q:.0%}" for q in QUANTILES), "greatest", "mean", "standard deviation", "missing"]
    return r.table(["", "Before", "After"], list(zip(names, cells(one.before), cells(one.after), strict=True)), "lrr")
