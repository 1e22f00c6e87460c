"""The pipelines of the conformance suite: one per feature, beside the rule for its outputs.

Every rule is plain Python and knows nothing of the runner. A pipeline returns parameters only, so that its outputs
can be compared as they are; what it does with artifacts is read into parameters first.
"""

# What stands in pipelines is what users write.
# ruff: noqa: E741, UP045

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from kfp import dsl

from tests.integration.pipelines.local.conformance_components import (
    add,
    count,
    give,
    join,
    pairs,
    read,
    read_all,
    read_if_any,
    show,
    show_optional,
    text,
    write,
)


@dataclass(frozen=True)
class Case:
    """A pipeline, what to give it, and what it must put out."""

    pipeline: Callable[..., Any]
    expected: dict[str, Any]
    parameters: dict[str, Any] = field(default_factory=dict)
    kfp: bool = False  # kfp.local 2.16.1 can run it, too

    @property
    def name(self) -> str:
        return f"{self.pipeline.name}{list(self.parameters.values()) or ''}"


cases: list[Case] = []


def case(*, kfp: bool = False, **parameters: Any) -> Callable[[Any, Callable[..., dict[str, Any]]], None]:
    """Adds a case, as `case(n=1)(pipeline, rule)`: the rule takes the same arguments, and returns the outputs."""

    def of(pipeline: Any, rule: Callable[..., dict[str, Any]]) -> None:
        cases.append(Case(pipeline, rule(**parameters), parameters, kfp))

    return of


# ---------------------------------------------------------------------------------------------- parameters


@dsl.pipeline
def texts_in_texts(a: str, n: int) -> str:
    return text(x=f"<{a}|{n}|{add(a=n).output}|{{{{no placeholder}}}}>").output


for a, n in (("it's", 0), ("", -1), ('"{{$.x}}"', 5)):
    case(a=a, n=n)(texts_in_texts, lambda a, n: {"Output": f"<{a}|{n}|{n + 1}|{{{{no placeholder}}}}>"})


@dsl.pipeline
def values_in_structures(s: str, n: int) -> NamedTuple("Out", [("l", list), ("d", dict)]):
    given = give(i=0, f=0.0, s="", b=False, l=["a", s, [n, 0, ""]], d={"k": s, "n": {"m": n}})
    out = NamedTuple("Out", [("l", list), ("d", dict)])  # noqa: UP014
    return out(given.outputs["l"], given.outputs["d"])


case(s="", n=0)(values_in_structures, lambda s, n: {"l": ["a", s, [n, 0, ""]], "d": {"k": s, "n": {"m": n}}})


# ---------------------------------------------------------------------------------------------- conditions


@dsl.pipeline
def branches(n: int, word: str) -> NamedTuple("Out", [("size", str), ("same", str)]):
    with dsl.If(n > 10):
        large = text(x="large")
    with dsl.Elif(n > 0):
        with dsl.If(word == "odd"):
            odd = text(x="small and odd")
        with dsl.Else():
            even = text(x="small and even")
        small = text(x=dsl.OneOf(odd.output, even.output))
    with dsl.Else():
        none = text(x="")
    with dsl.If(word == "it"):
        it = text(x="it")
    with dsl.Elif(word != "odd"):
        other = text(x=word)
    with dsl.Else():
        is_odd = text(x="odd!")
    out = NamedTuple("Out", [("size", str), ("same", str)])  # noqa: UP014
    return out(dsl.OneOf(large.output, small.output, none.output), dsl.OneOf(it.output, other.output, is_odd.output))


def branches_rule(n: int, word: str) -> dict[str, Any]:
    small = "small and odd" if word == "odd" else "small and even"
    size = "large" if n > 10 else small if n > 0 else ""
    return {"size": size, "same": {"it": "it", "odd": "odd!"}.get(word, word)}


for n, word in ((11, "it"), (10, "odd"), (1, ""), (0, "odd"), (-3, "x y")):
    case(n=n, word=word)(branches, branches_rule)


@dsl.pipeline
def comparisons(i: int, f: float, s: str, b: bool) -> str:
    texts = {}
    with dsl.If(i >= 3):
        texts["i >= 3"] = text(x="a")
    with dsl.Else():
        texts["i < 3"] = text(x="-")
    with dsl.If(f < i):
        texts["f < i"] = text(x="b")
    with dsl.Else():
        texts["f >= i"] = text(x="-")
    with dsl.If(s != "0"):
        texts["s"] = text(x="c")
    with dsl.Else():
        texts["not s"] = text(x="-")
    with dsl.If(b == True):  # noqa: E712
        texts["b"] = text(x="d")
    with dsl.Else():
        texts["not b"] = text(x="-")
    with dsl.If(s <= "M"):
        texts["first"] = text(x="e")
    with dsl.Else():
        texts["last"] = text(x="-")
    chosen = [text(x=dsl.OneOf(a.output, b.output)).output for a, b in zip(*[iter(texts.values())] * 2, strict=True)]
    return join(items=chosen).output


def comparisons_rule(i: int, f: float, s: str, b: bool) -> dict[str, Any]:
    held = [i >= 3, f < i, s != "0", b, s <= "M"]
    return {"Output": "+".join(sign if h else "-" for sign, h in zip("abcde", held, strict=True))}


for i, f, s, b in ((0, 0.0, "", False), (3, -0.5, "0", True), (4, 4.0, "Z", False), (-1, 1e300, "M", True)):
    case(i=i, f=f, s=s, b=b)(comparisons, comparisons_rule)


@dsl.pipeline
def chosen_artifact(n: int) -> str:
    with dsl.If(n == 0):
        zero = write(content="zero")
    with dsl.Else():
        with dsl.If(n < 0):
            less = write(content="less")
        with dsl.Else():
            more = write(content="more")
        other = read(data=dsl.OneOf(less.outputs["out"], more.outputs["out"]))
        again = write(content=other.output)
    return read(data=dsl.OneOf(zero.outputs["out"], again.outputs["out"])).output


for n, inner in ((0, "zero"), (-1, "less:4"), (1, "more:4")):
    case(n=n)(chosen_artifact, lambda n, inner=inner: {"Output": f"{inner}:{len(inner)}"})


# --------------------------------------------------------------------------------------------------- loops


@dsl.pipeline
def loops(n: int, words: list) -> NamedTuple("Out", [("a", str), ("b", str), ("c", str), ("d", str), ("e", list)]):
    with dsl.ParallelFor([1, 0, -1], parallelism=1) as number:
        first = add(a=number, b=n)
    with dsl.ParallelFor(words, parallelism=2) as word:
        second = text(x=f"[{word}]")
    with dsl.ParallelFor(count(n=n).output) as number:
        third = add(a=number, b=0)
    with dsl.ParallelFor([{"key": "a", "value": 0}, {"key": "", "value": 2}]) as item:
        fourth = text(x=f"{item.key}={item.value}")
    out = NamedTuple("Out", [("a", str), ("b", str), ("c", str), ("d", str), ("e", list)])  # noqa: UP014
    return out(
        join(items=dsl.Collected(first.output)).output,
        join(items=dsl.Collected(second.output)).output,
        join(items=dsl.Collected(third.output)).output,
        join(items=dsl.Collected(fourth.output)).output,
        dsl.Collected(second.output),
    )


def loops_rule(n: int, words: list[str]) -> dict[str, Any]:
    bracketed = [f"[{word}]" for word in words]
    return {
        "a": f"{1 + n}+{n}+{n - 1}",
        "b": "+".join(bracketed),
        "c": "+".join(map(str, range(n))),
        "d": "a=0+=2",
        "e": bracketed,
    }


case(n=3, words=["x", "", "it's"])(loops, loops_rule)
case(n=0, words=[])(loops, loops_rule)


@dsl.pipeline
def nested_loops(n: int) -> NamedTuple("Out", [("flat", str), ("fields", list), ("squares", list)]):
    with dsl.ParallelFor(pairs(n=n).output) as pair:
        with dsl.ParallelFor(pair.parts) as part:
            inner = text(x=f"{pair.key}/{part}")
        outer = join(items=dsl.Collected(inner.output))
    with dsl.ParallelFor([1, 2]) as a:  # noqa: SIM117
        with dsl.ParallelFor([10, 20]) as b:
            square = add(a=a, b=b)
    out = NamedTuple("Out", [("flat", str), ("fields", list), ("squares", list)])  # noqa: UP014
    return out(
        join(items=dsl.Collected(outer.output)).output, dsl.Collected(outer.output), dsl.Collected(square.output)
    )


def nested_loops_rule(n: int) -> dict[str, Any]:
    fields = ["+".join(f"k{i}/{part}" for part in range(i)) for i in range(n)]
    return {"flat": "+".join(fields), "fields": fields, "squares": [[a + b for b in (10, 20)] for a in (1, 2)]}


case(n=3)(nested_loops, nested_loops_rule)


@dsl.pipeline
def conditions_in_loops(limit: int) -> NamedTuple("Out", [("kept", list), ("named", list), ("last", str)]):
    with dsl.ParallelFor([1, 2, 3, 4]) as n:
        with dsl.If(n > limit):
            kept = add(a=n, b=0)
        with dsl.If(n == limit):
            same = text(x=f"{n}=")
        with dsl.Elif(n < limit):
            less = text(x=f"{n}<")
        with dsl.Else():
            more = text(x=f"{n}>")
        named = text(x=dsl.OneOf(same.output, less.output, more.output))
    with dsl.If(limit < 10):
        with dsl.ParallelFor([0, 5]) as m:
            inner = add(a=m, b=limit)
        ten = join(items=dsl.Collected(inner.output))
    with dsl.Else():
        big = text(x="big")
    out = NamedTuple("Out", [("kept", list), ("named", list), ("last", str)])  # noqa: UP014
    return out(dsl.Collected(kept.output), dsl.Collected(named.output), dsl.OneOf(ten.output, big.output))


def conditions_in_loops_rule(limit: int) -> dict[str, Any]:
    numbers = [1, 2, 3, 4]
    return {
        "kept": [n for n in numbers if n > limit],
        "named": [f"{n}{'=' if n == limit else '<' if n < limit else '>'}" for n in numbers],
        "last": f"{limit}+{5 + limit}" if limit < 10 else "big",
    }


for limit in (2, 0, 10):
    case(limit=limit)(conditions_in_loops, conditions_in_loops_rule)


# ----------------------------------------------------------------------------------------- nested pipelines


@dsl.pipeline
def innermost(x: int = 5, word: Optional[str] = None, items: list = [0]) -> str:  # noqa: B006
    first = show_optional(i=x, s=word, l=items)
    return first.output


@dsl.pipeline
def middle(x: int = 0, word: Optional[str] = None) -> NamedTuple("Out", [("a", str), ("b", str), ("n", int)]):
    with dsl.If(x == 0):
        zero = innermost(word=word)
    with dsl.Else():
        other = innermost(x=x, items=[x])
    out = NamedTuple("Out", [("a", str), ("b", str), ("n", int)])  # noqa: UP014
    return out(dsl.OneOf(zero.output, other.output), innermost().output, add(a=x).output)


@dsl.pipeline
def pipelines_in_pipelines(x: int, word: Optional[str] = None) -> NamedTuple(
    "Out", [("a", str), ("b", str), ("all", list)]
):
    given = middle(x=x, word=word)
    with dsl.ParallelFor([0, 3]) as y:
        each = middle(x=y)
    default = middle(x=given.outputs["n"])
    out = NamedTuple("Out", [("a", str), ("b", str), ("all", list)])  # noqa: UP014
    return out(given.outputs["a"], default.outputs["a"], dsl.Collected(each.outputs["a"]))


def pipelines_rule(x: int, word: str | None = None) -> dict[str, Any]:
    def middle(x: int, word: str | None = None) -> str:
        return repr((5, None, word, None, [0], None) if x == 0 else (x, None, None, None, [x], None))

    return {"a": middle(x, word), "b": middle(x + 1), "all": [middle(0), middle(3)]}


case(x=0, word="")(pipelines_in_pipelines, pipelines_rule)
case(x=-1)(pipelines_in_pipelines, pipelines_rule)


# ------------------------------------------------------------------------------------------------ artifacts


@dsl.pipeline
def make_all(words: list) -> list[dsl.Dataset]:
    with dsl.ParallelFor(words) as word:
        made = write(content=word)
    return dsl.Collected(made.outputs["out"])


@dsl.pipeline
def artifacts(words: list) -> NamedTuple("Out", [("all", str), ("each", list), ("deep", str), ("none", str)]):
    made = make_all(words=words)
    with dsl.ParallelFor(made.output) as one:
        each = read(data=one)
    with dsl.ParallelFor([1, 2]):  # noqa: SIM117
        with dsl.ParallelFor(["a", "b"]) as letter:
            inner = write(content=letter)
    out = NamedTuple("Out", [("all", str), ("each", list), ("deep", str), ("none", str)])  # noqa: UP014
    return out(
        read_all(data=made.output).output,
        dsl.Collected(each.output),
        read_all(data=dsl.Collected(inner.outputs["out"])).output,
        read_if_any().output,
    )


case(words=["p", "", "qq"])(
    artifacts,
    lambda words: {
        "all": "+".join(words),
        "each": [f"{word}:{len(word)}" for word in words],
        "deep": "a+b+a+b",
        "none": "none",
    },
)


# ------------------------------------------------------------------------- what kfp.local 2.16.1 can do, too


@dsl.pipeline
def plain_values(i: int = 0, f: float = 0.5, s: str = "", b: bool = False, l: list = [], d: dict = {}) -> str:  # noqa: B006
    return show(i=i, f=f, s=s, b=b, l=l, d=d).output


for given in ({}, {"i": 0, "s": "it's", "b": True, "l": ["", False], "d": {"k": ""}}):
    case(kfp=True, **given)(
        plain_values,
        lambda i=0, f=0.5, s="", b=False, l=(), d=None: {"Output": repr((i, f, s, b, list(l), d or {}))},
    )


@dsl.pipeline
def doubled(n: int, word: str = "w") -> NamedTuple("Out", [("n", int), ("word", str)]):
    out = NamedTuple("Out", [("n", int), ("word", str)])  # noqa: UP014
    return out(add(a=n, b=n).output, text(x=f"{word}{word}").output)


@dsl.pipeline
def chain(n: int, word: str) -> NamedTuple("Out", [("n", int), ("data", str), ("default", str)]):
    twice = doubled(n=doubled(n=n).outputs["n"], word=word)
    made = write(content=twice.outputs["word"])
    out = NamedTuple("Out", [("n", int), ("data", str), ("default", str)])  # noqa: UP014
    return out(
        twice.outputs["n"], text(x=read_if_any(data=made.outputs["out"]).output).output, doubled(n=0).outputs["word"]
    )


for n, word in ((0, "x"), (3, "")):
    case(kfp=True, n=n, word=word)(chain, lambda n, word: {"n": 4 * n, "data": 2 * word, "default": "ww"})


@dsl.pipeline
def simple_condition(n: int, word: str) -> NamedTuple("Out", [("n", int), ("word", str)]):
    first = add(a=n)
    second = text(x=word)
    with dsl.If(first.output > 1):
        add(a=first.output)
    with dsl.If(second.output == "x"):
        text(x="y")
    out = NamedTuple("Out", [("n", int), ("word", str)])  # noqa: UP014
    return out(first.output, second.output)


for n, word in ((0, "x"), (1, "")):
    case(kfp=True, n=n, word=word)(simple_condition, lambda n, word: {"n": n + 1, "word": word})


@dsl.pipeline
def simple_loop(words: list) -> str:
    with dsl.ParallelFor(words) as word:
        text(x=word)
    return join(items=words).output


case(kfp=True, words=["x", "y"])(simple_loop, lambda words: {"Output": "+".join(words)})
