"""The report over many models: what needs somebody first, then every model, to search in and to sort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from headrace.artifacts import report as r
from headrace.artifacts.card_sections import interval
from headrace.artifacts.metrics import METRICS, title_of
from headrace.components.card.models import ORDER, ModelLine
from headrace.platforms.interface import APPROVED, ARCHIVED, BLESSED, CANDIDATE, LIVE, REJECTED

_KINDS: dict[str, r.Kind] = {LIVE: "good", APPROVED: "info", BLESSED: "warn", CANDIDATE: "warn", REJECTED: "bad"}
_REJECTED = "was rejected, and no other version serves"
_CANDIDATE = "is registered without having passed its gates, and no version serves"
_BLESSED = "passed its gates, and no version serves"
_APPROVED = "is approved, and no version serves"
_WAITS, _NEWER, _FAILED, _NO_CARD = (
    "waits for approval",
    "a newer version does not serve",
    "gates not passed",
    "no card",
)
_COMMANDS = {
    _WAITS: "headrace models approve",
    _BLESSED: "headrace models promote",
    _APPROVED: "headrace models promote",
}
_LACKING = {REJECTED: _REJECTED, CANDIDATE: _CANDIDATE, BLESSED: _BLESSED, APPROVED: _APPROVED}
_NAMED = 12  # models of one kind that are named; all are in the list
_MOST_METRICS = 8
_MOST_LIMITS = 5


def models_page(lines: Sequence[ModelLine], about: str = "") -> str:
    """The report as one HTML document; `about` says where the models are."""
    sections = [_overview(lines)]
    if todo := [line for line in lines if _todo(line)]:
        sections.append(_to_do(lines))
    sections.append(_all(lines))
    status = r.badge(f"{len(todo)} to look at", "warn") if todo else r.badge("nothing to do", "good")
    return r.page("Models", about, sections, status=status if lines else None)


def _overview(lines: Sequence[ModelLine]) -> r.Html:
    states = Counter(line.state for line in lines)
    tiles: list[tuple[str, r.Cell, r.Cell]] = [("Models", len(lines), f"{sum(x.versions for x in lines):,} versions")]
    tiles += [(state.capitalize(), states[state], "") for state in reversed(ORDER) if states[state]]
    newer = sum(bool(line.newer) for line in lines)
    if newer:
        tiles.append(("With a newer version", newer, "that does not serve"))
    if lines and (without := sum(bool(line.why_not) for line in lines)):
        tiles.append(("Without a card", without, ""))
    return r.section("Overview", r.tiles(tiles))


def _todo(line: ModelLine) -> str:
    """What somebody should look at; empty where nothing."""
    if line.waits:
        return _WAITS
    if line.state in _LACKING:
        return _LACKING[line.state]
    if line.newer.partition(", ")[2] in (BLESSED, APPROVED):
        return _NEWER
    if any(not gate.passed for gate in line.gates):
        return _FAILED
    return _NO_CARD if line.why_not and line.state != ARCHIVED else ""


def _to_do(lines: Sequence[ModelLine]) -> r.Html:
    """What there is to look at, each with the models that it is about, which lead to their lines below."""
    by_kind: dict[str, list[str]] = {}
    for number, line in enumerate(lines):
        if kind := _todo(line):
            by_kind.setdefault(kind, []).append(r.link(line.name, f"#model-{number}"))
    kinds = [kind for kind in (_FAILED, *_LACKING.values(), _WAITS, _NEWER, _NO_CARD) if kind in by_kind]
    rows = [(_with_command(kind), len(by_kind[kind]), _names(by_kind[kind])) for kind in kinds]
    return r.section("To look at", r.table(["What", "Models", "Which"], rows, "lrw"))


def _with_command(kind: str) -> str:
    return f"{kind}: {_COMMANDS[kind]}" if kind in _COMMANDS else kind


def _names(links: Sequence[str]) -> r.Html:
    more = len(links) - _NAMED
    return r.Html(", ".join(links[:_NAMED]) + (f" and {more:,} more" if more > 0 else ""))


def _badge(line: ModelLine) -> r.Html:
    return r.badge(line.state, _KINDS.get(line.state, "neutral"))


def _all(lines: Sequence[ModelLine]) -> r.Html:
    if not lines:
        return r.section("All models", r.paragraph("No model is registered yet."))
    orders: dict[str, list[Any]] = {
        "name": [line.name for line in lines],
        "state": [_state_key(line) for line in lines],
        "metric, the worst first": [_metric_key(line) for line in lines],
        "newest first": [_newest_key(line) for line in lines],
    }
    places = list(zip(*(_places(keys) for keys in orders.values()), strict=True))
    found = [_entry(number, line, where) for number, (line, where) in enumerate(zip(lines, places, strict=True))]
    headers = ["Model", "State", "Metric", "95 % interval", "Gates", "Registered"]
    return r.section("All models", r.entries("models", headers, found, "a model, a state, an owner", tuple(orders)))


def _entry(number: int, line: ModelLine, places: Sequence[int]) -> r.Entry:
    main, failed = line.main, sum(not gate.passed for gate in line.gates)
    gates = "–" if not line.gates else f"{len(line.gates)} passed" if not failed else f"{failed} FAILED"
    return r.Entry(
        anchor=f"model-{number}",
        words=" ".join([line.name, line.state, *line.owners, *line.endpoints, _todo(line)]),
        cells=(
            r.Html(f'<span class="name">{r.markup(line.name)}</span>'),
            _badge(line),
            f"{title_of(main.metric)} {r.number(main.value)}" if main else "–",
            (interval(main) if main else "") or "–",
            gates,
            line.created[:10],
        ),
        blocks=_unfolded(line),
        places=places,
    )


def _unfolded(line: ModelLine) -> list[r.Html]:
    facts: list[tuple[str, r.Cell]] = [("Version", f"{line.version} of {line.versions}" if line.versions > 1 else "1")]
    told = {"To do": _advice(line), "Newer": line.newer, "Purpose": line.purpose, "Owners": ", ".join(line.owners),
            "Serves at": ", ".join(line.endpoints)}  # fmt: skip
    facts += [(name, text) for name, text in told.items() if text]
    if line.link:
        facts.append(("Card", r.link("open", line.link)))
    blocks = [r.key_values(facts)]
    if line.why_not:
        blocks.append(r.callout(f"{line.why_not}.", "warn", "No card:"))
    metrics = [(title_of(name), value) for name, value in list(line.metrics.items())[:_MOST_METRICS]]
    if metrics:
        blocks.append(r.table(["Metric", "Value"], metrics))
    if failed := [f"{gate.gate}: {gate.reason}" for gate in line.gates if not gate.passed]:
        blocks.append(r.callout("; ".join(failed), "bad", "Not passed:"))
    if line.limits:
        blocks.append(r.details("Limits found", r.bullets(line.limits[:_MOST_LIMITS])))
    return blocks


def _advice(line: ModelLine) -> str:
    kind = _todo(line)
    command = f": {_COMMANDS[kind]} {line.name}:{line.version}" if kind in _COMMANDS else ""
    return f"{kind}{f' ({line.waits})' if line.waits else ''}{command}"


def _places(keys: Sequence[Any]) -> list[int]:
    """The place of each key, from 1 on."""
    ordered = sorted(range(len(keys)), key=lambda index: keys[index])
    places = [0] * len(keys)
    for place, index in enumerate(ordered, 1):
        places[index] = place
    return places


def _state_key(line: ModelLine) -> tuple[object, ...]:
    return (ORDER.index(line.state) if line.state in ORDER else len(ORDER), line.name)


def _metric_key(line: ModelLine) -> tuple[object, ...]:
    """Models of one metric together; those without any at the end."""
    if line.main is None:
        return ("~", 0.0, line.name)
    info = METRICS.get(line.main.metric)
    sign = -1.0 if info is not None and info.higher_is_better is False else 1.0
    return (line.main.metric, sign * line.main.value, line.name)


def _newest_key(line: ModelLine) -> tuple[object, ...]:
    return (tuple(-ord(sign) for sign in line.created), line.name)
