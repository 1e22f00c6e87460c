"""The steps that encodings are made of: their names, what they take and give, their arguments. Light to import.

A column gets one or several chains of steps, and each chain makes one feature (or several: one-hot, words). In the
spec a chain is a name (`one_hot`), a name with its argument (`{clip: [0.01, 0.99]}`) or a list, read from left to
right: a step that *begins* a feature (`month`, `target`, `words`, ...) starts from the column, any other goes on from
the step before. `[age, log, month]` therefore is two features, and so is `[[log, standardize], {bucket: 10}]`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NUMBER, CATEGORY, CODE = "a number", "a category", "a code"
DATE, TEXT, WIDE = "a date", "a text", "several columns"
OF_TYPE = {"number": NUMBER, "boolean": NUMBER, "category": CATEGORY, "date": DATE, "text": TEXT}
WEIGHTS = ("tfidf", "count", "binary")
ANALYZERS = ("word", "char")


@dataclass(frozen=True)
class Step:
    """One step of a chain, with its argument; None: the default."""

    name: str
    argument: Any = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name} {self.argument}"


Chain = tuple[Step, ...]


@dataclass(frozen=True)
class Kind:
    """What a step is.

    Attributes:
        takes: what it can be applied to.
        gives: what it makes; None: what it took.
        begins: it starts from the column, and not from the step before.
        check: says what is wrong with an argument (`expected ...`), None where nothing is.
    """

    takes: tuple[str, ...]
    gives: str | None
    begins: bool = False
    check: Callable[[Any], str | None] = lambda _: "expected no argument"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _whole(least: int, most: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fine = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if fine else f"expected a whole number from {least} to {most:,}"

    return check


def _shares(value: Any) -> str | None:
    fine = isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(each) for each in value)
    return None if fine and 0 <= value[0] < value[1] <= 1 else "expected two shares of the rows, such as [0.01, 0.99]"


def _filler(value: Any) -> str | None:
    return None if value in ("median", "mean") or _is_number(value) else "expected median, mean or a number"


def _buckets(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        fine = bool(value) and all(_is_number(each) for each in value) and list(value) == sorted(set(value))
        return None if fine else "expected the edges in ascending order"
    return _whole(2, 1_000)(value)


def _order(value: Any) -> str | None:
    fine = isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(each, str) and each for each in value)
    return None if fine and len(set(value)) == len(value) else "expected the values in their order, as texts"


def _smoothing(value: Any) -> str | None:
    return None if _is_number(value) and value >= 0 else "expected how many rows the overall mean counts for"


def _words(value: Any) -> str | None:
    """The options of `Words` in components/transform/spec.py, which checks them where they are written below `text`."""
    if not isinstance(value, Mapping):
        return "expected options such as {ngrams: [1, 2], most: 20000}"
    unknown = sorted(set(value) - {"ngrams", "most", "weight", "at_least", "analyzer"})
    if unknown:
        return f"expected the options ngrams, most, weight, at_least and analyzer, and no `{unknown[0]}`"
    ngrams = value.get("ngrams", [1, 1])
    if not (isinstance(ngrams, list | tuple) and len(ngrams) == 2 and 1 <= ngrams[0] <= ngrams[1] <= 8):
        return "expected ngrams such as [1, 2]"
    if value.get("weight", "tfidf") not in WEIGHTS or value.get("analyzer", "word") not in ANALYZERS:
        return f"expected a weight of {', '.join(WEIGHTS)} and an analyzer of {', '.join(ANALYZERS)}"
    return None


# A code is a number where somebody says so: `[code, standardize]`, and not `standardize` of a category by oversight.
_NUMBERS = (NUMBER, DATE, CODE)
_CODES = (CATEGORY, CODE, TEXT)
STEPS: dict[str, Kind] = {
    "keep": Kind((NUMBER, DATE, CATEGORY), None, begins=True),
    "log": Kind(_NUMBERS, NUMBER),
    "sqrt": Kind(_NUMBERS, NUMBER),
    "clip": Kind(_NUMBERS, NUMBER, check=_shares),
    "standardize": Kind(_NUMBERS, NUMBER),
    "min_max": Kind(_NUMBERS, NUMBER),
    "robust": Kind(_NUMBERS, NUMBER),
    "impute": Kind(_NUMBERS, NUMBER, check=_filler),
    "bucket": Kind(_NUMBERS, CODE, check=_buckets),
    "code": Kind(_CODES, CODE, begins=True),
    "ordinal": Kind(_CODES, NUMBER, begins=True, check=_order),
    "one_hot": Kind(_CODES, WIDE, begins=True, check=_whole(1, 100_000)),
    "target": Kind(_CODES, NUMBER, begins=True, check=_smoothing),
    "share": Kind(_CODES, NUMBER, begins=True),
    "hash": Kind((TEXT,), CODE, begins=True, check=_whole(2, 2**20)),
    "words": Kind((TEXT,), WIDE, begins=True, check=_words),
    "missing": Kind((NUMBER, DATE, CATEGORY, TEXT), NUMBER, begins=True),
    "days": Kind((DATE,), NUMBER, begins=True),
    "age": Kind((DATE,), NUMBER, begins=True),
    "year": Kind((DATE,), NUMBER, begins=True),
    "quarter": Kind((DATE,), CODE, begins=True),
    "month": Kind((DATE,), CODE, begins=True),
    "day": Kind((DATE,), CODE, begins=True),
    "weekday": Kind((DATE,), CODE, begins=True),
    "hour": Kind((DATE,), CODE, begins=True),
}
PARTS = {"quarter": 4, "month": 12, "day": 31, "weekday": 7, "hour": 24}  # of a date, and how many values each has
NEEDS_TEXT = frozenset({"hash", "words"})  # steps that read the string itself and not its code
_GO_ON = frozenset({"one_hot", "target", "share"})  # with the category that the step before has made, if it has


def parse_steps(value: Any) -> tuple[Chain, ...]:
    """Reads an encoding as the spec has it.

    Raises:
        ValueError: an unknown step, or an argument that does not fit; `expected X. Received: Y`.
    """
    if not isinstance(value, list | tuple):
        value = [value]
    if not value:
        raise ValueError("expected at least one step. Received: none")
    chains: list[list[Step]] = []
    joined = True  # whether a step may go on from the last of chains
    for each in value:
        if isinstance(each, list | tuple):
            chains += [list(chain) for chain in parse_steps(each)]
            joined = False
            continue
        step = _step(each)
        if chains and joined and _goes_on(chains[-1][-1], step):
            chains[-1].append(step)
        else:
            chains.append([step])
        joined = True
    return tuple(tuple(chain) for chain in chains)


def _goes_on(before: Step, step: Step) -> bool:
    made = STEPS[before.name].gives
    return not STEPS[step.name].begins or (step.name in _GO_ON and made == CODE and before.name != "code")


def _step(value: Any) -> Step:
    name, argument = value, None
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise ValueError(f"expected one step with its argument, such as {{bucket: 10}}. Received: {dict(value)}")
        ((name, argument),) = value.items()
    if not isinstance(name, str) or name not in STEPS:
        near = difflib.get_close_matches(str(name), STEPS, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ValueError(f"expected one of the steps {', '.join(STEPS)}. Received: `{name}`{hint}")
    if argument is not None and (problem := STEPS[name].check(argument)):
        raise ValueError(f"{name}: {problem}. Received: {argument!r}")
    if isinstance(argument, list):
        argument = tuple(argument)
    return Step(name, argument)


def misfit(chain: Chain, type: str) -> str | None:
    """What is wrong with a chain for a column of this type (`number`, `boolean`, `category`, `date`, `text`)."""
    state = OF_TYPE[type]
    if sum(step.name == "target" for step in chain) > 1:
        return "expected one step `target` in a chain. Received: two; the second would see labels through the first"
    for place, step in enumerate(chain):
        kind = STEPS[step.name]
        if state not in kind.takes:
            of = "the column" if place == 0 else f"`{chain[place - 1].name}`"
            fitting = [name for name, other in STEPS.items() if state in other.takes]
            can = f"; what fits {state}: {', '.join(fitting)}" if fitting else "; nothing follows it"
            takes = [each for each in kind.takes if place or each != CODE]  # no column is a code
            return f"expected {' or '.join(takes)} for the step `{step.name}`. Received: {state}, from {of}{can}"
        state = kind.gives or state
    return None


def reads_text(chains: tuple[Chain, ...]) -> bool:
    """Whether the string itself is needed, and not only its code."""
    return any(chain[0].name in NEEDS_TEXT for chain in chains)
