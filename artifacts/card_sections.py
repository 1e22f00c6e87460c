"""The model card as titled sections of blocks, in the order of Google's model cards: one source for each rendering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.artifacts import report
from headrace.artifacts.card import Measured, ModelCard, Table, Values
from headrace.artifacts.metrics import METRICS, title_of


@dataclass(frozen=True)
class Pairs:
    """Names and values."""

    items: Values


@dataclass(frozen=True)
class Points:
    """A list of sentences, under a title of its own where it has one."""

    items: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table; `folded` where a page shows it only when asked for, `brief` where it is the short form of another."""

    table: Table
    folded: bool = False
    brief: bool = False


@dataclass(frozen=True)
class Bars:
    """A chart of one value per name."""

    title: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Figures:
    """The numbers to see first: (name, value, note)."""

    items: tuple[tuple[str, Any, str], ...]


Block = Pairs | Points | Words | Grid | Bars | Figures


@dataclass(frozen=True)
class CardSection:
    """A titled part of the card."""

    title: str
    blocks: tuple[Block, ...]
    about: str = ""


# The metrics that most readers look for, of whatever task; the first of them that there are stand for all.
_HEAD = ("auc", "rmse", "pr_auc", "accuracy", "macro_f1", "mae", "r2", "log_loss", "precision", "recall", "f1", "bias")
_FIRST = 4  # metrics shown as figures
_MANY = 14  # metrics: beyond, a page shows the first of them and folds the rest away
_MOST_BARS = 15
_SLICED = 5  # metrics of slices; card.json has all


def sections(card: ModelCard) -> list[CardSection]:
    """The parts of a card that have something to say."""
    found = [
        CardSection("Model details", (*_figures(card), *_pairs(_details(card)), *_selection(card))),
        CardSection("Intended use", _use(card)),
        CardSection("Factors", _points(card.factors), "What the quality may depend on."),
        CardSection("Metrics", _performance(card), _how_measured(card)),
        CardSection(f"Metrics on the {card.metrics_split} split", _training_metrics(card)),
        CardSection("Evaluation data", _pairs(card.evaluation_data)),
        CardSection("Training data", (*_pairs(card.data), *_features(card))),
        CardSection("Quantitative analyses", (*_slices(card), *_analyses(card), *_bars(card))),
        CardSection("Ethical considerations", (*_risks(card), *_points(card.tradeoffs, "Trade-offs"))),
        CardSection("Caveats and recommendations", (*_points(card.caveats), *_points(card.limits, "Limits found"))),
        CardSection("Gates", _gates(card), "What the model had to show before it could be registered."),
        CardSection("Approvals", _approvals(card), "What was decided on this version in the registry."),
        CardSection("Environment", _pairs(card.environment)),
        CardSection("Lineage", _pairs(card.lineage)),
    ]
    return [part for part in found if part.blocks]


def known(values: Values) -> Values:
    """The values that say something."""
    return {key: value for key, value in values.items() if value not in (None, "", (), [], {})}


def text(value: Any) -> str:
    """A value in words: lists and mappings too."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {text(item)}" for key, item in known(value).items())
    if isinstance(value, list | tuple):
        return ", ".join(text(item) for item in value)
    return str(report.markup(value)) if isinstance(value, int | float) else str(value)


def interval(item: Measured) -> str:
    """The interval in words; empty where there is none."""
    if item.low is None or item.high is None:
        return ""
    return f"{report.number(item.low, 3)} – {report.number(item.high, 3)}"


def _pairs(values: Values) -> tuple[Block, ...]:
    return (Pairs(known(values)),) if known(values) else ()


def _points(items: Iterable[str], title: str = "") -> tuple[Block, ...]:
    listed = tuple(items)
    return (Points(listed, title),) if listed else ()


def _figures(card: ModelCard) -> tuple[Block, ...]:
    items: list[tuple[str, Any, str]] = [
        (title_of(item.metric), item.value, _note(item)) for item in headline(card.whole())[:_FIRST]
    ]
    if card.gates:
        failed = sum(not line.passed for line in card.gates)
        items.append(
            ("Gates", f"{len(card.gates) - failed} of {len(card.gates)}", "passed" if not failed else "NOT passed")
        )
    return (Figures(tuple(items)),) if items else ()


def headline(items: Sequence[Measured]) -> list[Measured]:
    """The metrics that most readers look for first; all of them where there are others alone."""
    found = [item for name in _HEAD for item in items if item.metric == name]
    return found or list(items)


def _note(item: Measured) -> str:
    return f"95 %: {interval(item)}" if interval(item) else ""


def _details(card: ModelCard) -> Values:
    owner = {"Owners": card.owners, "License": card.license, "Citation": card.citation}
    return {**card.registered, **owner, **card.details, "References": card.references}


def _selection(card: ModelCard) -> tuple[Block, ...]:
    chosen = known(card.selection)
    return (Words("How it was chosen:"), Pairs(chosen)) if chosen else ()


def _use(card: ModelCard) -> tuple[Block, ...]:
    purpose: tuple[Block, ...] = (Words(card.purpose),) if card.purpose else ()
    uses = (("Uses", card.use_cases), ("Users", card.users), ("Out of scope", card.out_of_scope))
    return (*purpose, *(block for name, items in uses for block in _points(items, name)))


def _how_measured(card: ModelCard) -> str:
    split = card.evaluation_data.get("Split")
    where = f"On the {split} split, which training has not seen" if split else "On rows that training has not seen"
    return f"{where}; with 95 % intervals. A constant is the best answer that looks at no feature."


def _performance(card: ModelCard) -> tuple[Block, ...]:
    whole = card.whole()
    if not whole:
        return ()
    rivals = any(item.champion is not None for item in whole)
    constants = any(item.constant is not None for item in whole)
    headers = ["Metric", "Value", "95 % interval"]
    headers += ["A constant"] * constants + ["The champion then"] * rivals + ["Better is"]
    table = _metric_table(headers, whole, constants, rivals)
    if len(whole) <= _MANY:
        return (Grid(table),)
    short = _metric_table(headers, headline(whole), constants, rivals)
    return (Grid(short, brief=True), Grid(replace(table, title=f"All {len(whole)} metrics"), folded=True))


def _metric_table(headers: Sequence[str], items: Sequence[Measured], constants: bool, rivals: bool) -> Table:
    rows = [
        (title_of(item.metric), item.value, interval(item), *([item.constant] if constants else []),
         *([item.champion] if rivals else []), _better(item.metric))
        for item in items
    ]  # fmt: skip
    return Table("", tuple(headers), tuple(rows))


def _better(metric: str) -> str:
    higher = METRICS[metric].higher_is_better if metric in METRICS else None
    return "nearer to 0" if higher is None else "higher" if higher else "lower"


def _training_metrics(card: ModelCard) -> tuple[Block, ...]:
    if card.performance or not card.metrics:
        return ()
    return (Figures(tuple((title_of(name), value, "") for name, value in card.metrics.items())),)


def _features(card: ModelCard) -> tuple[Block, ...]:
    if not card.features:
        return ()
    name = f"The {len(card.features):,} features" if len(card.features) > 1 else "The feature"
    return (Grid(Table(name, ("Feature", "Type", "Known values"), card.features), folded=len(card.features) > 1),)


def _slices(card: ModelCard) -> tuple[Block, ...]:
    """One row per slice, a column per metric: intervals beside the first, as no page has room for all of them."""
    parts = [item for item in card.performance if item.slice]
    if not parts:
        return ()
    there = {item.metric: item for item in parts}
    metrics = [item.metric for item in headline(list(there.values()))][:_SLICED]
    lines: dict[str, dict[str, Measured]] = {}
    for item in parts:
        lines.setdefault(item.slice, {})[item.metric] = item
    main = metrics[0]
    headers = ("Slice", "Rows", title_of(main), "95 % interval", *(title_of(name) for name in metrics[1:]))
    rows = tuple(_slice_row(name, line, metrics) for name, line in lines.items())
    return (Grid(Table("Slices, the worst first", headers, rows), folded=len(rows) > 24),)


def _slice_row(name: str, line: Mapping[str, Measured], metrics: Sequence[str]) -> tuple[Any, ...]:
    first = line.get(metrics[0])
    rows = next((item.rows for item in line.values() if item.rows is not None), None)
    rest = [line[metric].value if metric in line else None for metric in metrics[1:]]
    return name, rows, first.value if first else None, interval(first) if first else "", *rest


def _analyses(card: ModelCard) -> tuple[Block, ...]:
    return tuple(Grid(table) for table in card.analyses if table.rows or table.about)


def _bars(card: ModelCard) -> tuple[Block, ...]:
    shown = dict(list(card.importance.items())[:_MOST_BARS])
    of = f"How much worse the {title_of(card.importance_metric)} gets when" if card.importance_metric else "Where"
    return (Bars(f"{of} a feature is shuffled among the rows", shown),) if shown else ()


def _risks(card: ModelCard) -> tuple[Block, ...]:
    return _points(f"{item.risk} Mitigation: {item.mitigation}" if item.mitigation else item.risk
                   for item in card.considerations)  # fmt: skip


def _gates(card: ModelCard) -> tuple[Block, ...]:
    ordered = sorted(card.gates, key=lambda line: line.passed)
    rows = tuple(("passed" if line.passed else "FAILED", line.gate, line.reason) for line in ordered)
    return (Grid(Table("", ("", "Gate", "Why"), rows)),) if rows else ()


def _approvals(card: ModelCard) -> tuple[Block, ...]:
    rows = tuple((item.time, item.who, item.action, item.reason) for item in card.approvals)
    return (Grid(Table("", ("When", "Who", "What", "Reason"), rows)),) if rows else ()
