"""How columns go together, in the data report."""

from __future__ import annotations

from typing import Any

from headrace.artifacts import report
from headrace.artifacts.report import Bar, Cell, Html

_MOST_BARS = 20
_MOST_CELLS = 16  # a side of the matrix: more cannot be read


def association_blocks(profile: dict[str, Any], label: str) -> list[Html]:
    """Each feature with the label, the strongest pairs, and a matrix of the features that tell most."""
    powers: dict[str, float] = profile.get("powers") or {}
    found: dict[str, Any] = profile.get("associations") or {}
    blocks = []
    if powers:
        blocks.append(report.grid(_with_the_label(powers, profile["measure"], label), *_pairs(found)))
    if len(found.get("columns", [])) > 1:
        blocks.append(_matrix(found, powers))
    return blocks


def _with_the_label(powers: dict[str, float], measure: str, label: str) -> Html:
    strongest = sorted(powers, key=lambda name: (-powers[name], name))[:_MOST_BARS]
    low = 0.5 if measure == "AUC" else 0.0
    return report.bar_chart(
        [Bar(name, max(powers[name], low)) for name in strongest],
        f"How well a feature alone predicts {label}: {measure}",
        value_range=(low, 1.0),
        caption=f"On rows that were held out; {low:g} is no better than chance.",
    )


def _pairs(found: dict[str, Any]) -> list[Html]:
    rows: list[list[Cell]] = [[a, b, _signed(value)] for a, b, value in found.get("pairs", [])[:_MOST_BARS]]
    caption = "Features that go together"
    return [report.table(["", "", "Strength"], rows, "llr", caption, empty="No two features go together.")]


def _matrix(found: dict[str, Any], powers: dict[str, float]) -> Html:
    names: list[str] = found["columns"]
    chosen = sorted(range(len(names)), key=lambda i: -powers.get(names[i], 0.0))[:_MOST_CELLS]
    chosen.sort()
    head = "".join(f'<th scope="col"><span>{report.markup(names[i])}</span></th>' for i in chosen)
    matrix: list[list[float]] = found["matrix"]
    lines = "".join(
        f'<tr><th scope="row">{report.markup(names[i])}</th>{"".join(_cell(matrix[i][j]) for j in chosen)}</tr>'
        for i in chosen
    )
    note = "Rank correlation of two numbers, Cramér's V of two texts, correlation ratio of a number and a text."
    return report.details(
        f"All pairs of {len(chosen)} features",
        Html(
            '<div class="scroll" tabindex="0"><table class="matrix"><thead><tr><td></td>'
            f'{head}</tr></thead><tbody>{lines}</tbody></table></div><p class="caption">{note}</p>'
        ),
    )


def _cell(value: float) -> str:
    deep = " deep" if abs(value) > 0.6 else ""
    return f'<td class="c{deep}" style="--share:{abs(value):.2f}">{_signed(value)}</td>'


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
