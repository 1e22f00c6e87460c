"""Which encodings each column gets: those that the spec names, and for all other columns what suits the kind of model.

Trees take numbers as they are: they cut at any value, and missing ones go to a side of their own. A linear model and
a network want numbers of one scale without gaps; a linear model wants a column per value of a category, a network
embeds codes itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.trainer.features.steps import Chain, Step, reads_text

TREES = ("gbdt", "module")  # a module of one's own gets what trees get: nothing is lost in it
MOST_WORDS = {"linear": 20_000, "mlp": 2_000}  # n-grams of a text by default; trees look at every column for each split
MOST_WORDS_OF_TREES = 1_000
HEAVY_TAIL = 2.0  # skewness from which `auto` takes the logarithm, if that halves it
# Values of a category from which trees get its target encoding, too. Measured on five splits each: with 200 and with
# 1,500 values that have effects of their own the log loss falls by 0.011 and 0.006 (ten and four standard errors). From
# 5 values on, for the categories of taxi rides and subscribers, it changes by less than its standard error.
TARGET_FROM = 20
MANY_ROWS = 5  # that a value has on average: with fewer the means are mostly noise


@dataclass(frozen=True)
class Wanted:
    """What the spec says of features.

    Attributes:
        encode: column -> its chains of steps.
        texts: column -> the options of `words`.
        missing_indicators: for all columns, or for those named; None: as the kind of model wants it.
        auto: choose more than the defaults, by what the train split shows.
        select: method -> its bound or number, in the order in which they are applied.
        pca: how many principal components replace the numbers; None: none.
        names: the features that stay, where they are known already.
    """

    encode: Mapping[str, tuple[Chain, ...]] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing_indicators: bool | tuple[str, ...] | None = None
    auto: bool = False
    select: Mapping[str, float] = field(default_factory=dict)
    pca: int | None = None
    names: frozenset[str] | None = None

    @property
    def text_columns(self) -> frozenset[str]:
        """The columns that are encoded as texts."""
        return frozenset((*self.texts, *(name for name, chains in self.encode.items() if reads_text(chains))))

    def only(self, names: Iterable[str]) -> Wanted:
        """The same, but these features stay, whatever the methods of `select` would say."""
        return replace(self, names=frozenset(names))


@dataclass(frozen=True)
class Facts:
    """What the train split shows of a column.

    Attributes:
        missing: share of the rows without a value.
        skew: third standardized moment of a number, and of its logarithm.
        span: of a date, in days.
        timed: a date has times of day.
    """

    missing: float = 0.0
    skew: float = 0.0
    log_skew: float = 0.0
    span: float = 0.0
    timed: bool = False


@dataclass(frozen=True)
class Source:
    """A column that can be encoded: an input, or a constructed one.

    Attributes:
        name: its name.
        type: `number`, `boolean`, `category`, `date` or `text`.
        sources: the raw columns that it is made of.
        size: how many known values a category has.
        values: those, the one with code 1 first.
        offset: what was subtracted from the value.
        raw: it is an input.
    """

    name: str
    type: str
    sources: tuple[str, ...]
    size: int | None = None
    values: tuple[str, ...] = ()
    offset: float = 0.0
    raw: bool = True


def chains_of(
    source: Source, facts: Facts, wanted: Wanted, kind: str, rows: int
) -> tuple[tuple[Chain, ...], list[str]]:
    """The chains of steps that a column gets, and notes on what was chosen by what the rows show."""
    notes: list[str] = []
    if source.name in wanted.encode:
        chains = wanted.encode[source.name]
    elif source.type == "text":
        chains = ((words(wanted.texts.get(source.name, {}), kind),),)
    elif kind in TREES:
        chains, notes = _for_trees(source, facts, wanted.auto, rows)
    else:
        chains, notes = _for_scales(source, facts, wanted.auto, kind)
    indicator: Chain = (Step("missing"),)
    if indicator not in chains and _indicated(source, facts, wanted, kind):
        chains = (*chains, indicator)
    return chains, notes


def words(options: Mapping[str, Any], kind: str) -> Step:
    """The step for a text, with all options said."""
    most = MOST_WORDS_OF_TREES if kind in TREES else MOST_WORDS[kind]
    defaults = {"ngrams": (1, 1), "most": most, "weight": "tfidf", "at_least": 2, "analyzer": "word"}
    given = {name: value for name, value in options.items() if value is not None}
    return Step("words", {**defaults, **given, "ngrams": tuple(given.get("ngrams", defaults["ngrams"]))})


def _indicated(source: Source, facts: Facts, wanted: Wanted, kind: str) -> bool:
    setting = wanted.missing_indicators
    if isinstance(setting, tuple):
        return source.name in setting
    if setting is None and (kind in TREES or source.name in wanted.encode or source.type in ("category", "text")):
        return False  # trees see what is missing; one-hot columns and codes have a place for it
    return setting is not False and facts.missing > 0


def _for_trees(source: Source, facts: Facts, auto: bool, rows: int) -> tuple[tuple[Chain, ...], list[str]]:
    keep: Chain = (Step("keep"),)
    if source.type == "category":
        size = source.size or 0
        if size >= TARGET_FROM and rows >= MANY_ROWS * size:
            return (keep, (Step("target"),)), [f"`{source.name}`: its code and its target encoding: {size:,} values "
                                               "are too many to part by their order alone"]  # fmt: skip
    if auto and source.type == "date" and (parts := _parts(facts)):
        return (keep, *((Step(part),) for part in parts)), [_on_dates(source, facts, parts)]
    return (keep,), []


def _for_scales(source: Source, facts: Facts, auto: bool, kind: str) -> tuple[tuple[Chain, ...], list[str]]:
    """Numbers of one scale, without gaps."""
    scaled = (Step("impute"), Step("standardize"))
    if source.type == "category":
        return ((Step("one_hot" if kind == "linear" else "keep"),),), []
    if source.type == "date":
        parts = _parts(facts)
        of_parts: tuple[Chain, ...] = tuple(
            (Step(part), *((Step("one_hot"),) if kind == "linear" else ())) for part in parts
        )
        return ((Step("age"), *scaled), *of_parts), [_on_dates(source, facts, parts)] if parts else []
    if auto and source.type == "number" and facts.skew > HEAVY_TAIL and abs(facts.log_skew) < facts.skew / 2:
        note = f"`{source.name}`: its logarithm, as few values are far above all others (skewness {facts.skew:.1f}, " \
               f"of the logarithm {facts.log_skew:.1f})"  # fmt: skip
        return ((Step("log"), *scaled),), [note]
    return (scaled,), []


def _parts(facts: Facts) -> tuple[str, ...]:
    """The parts of a date that come again within the train split's span, so that they can be learned."""
    found = []
    if facts.span >= 365:
        found.append("month")
    if facts.span >= 28:
        found.append("weekday")
    if facts.timed and facts.span >= 2:
        found.append("hour")
    return tuple(found)


def _on_dates(source: Source, facts: Facts, parts: tuple[str, ...]) -> str:
    return f"`{source.name}`: also its {_listed(parts)}, as the train split spans {facts.span:,.0f} days"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
