"""Random plans for Hypothesis; they shrink to fewer steps, fewer arrows and no failures."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.unit.pipelines.local.plans import ITEM, Export, Group, Input, Leaf, Loop, Step, outputs

Draw = Any
Available = tuple[str, str, str, int]  # (task or "", output or input, kind, depth)

MAX_DEPTH = 3  # of groups within groups
MAX_STEPS = 4  # of a group
COMPARISONS = ("==", "!=", "<", ">=")
rarely = st.sampled_from((False, False, False, True))
numbers = st.integers(0, 4)

leaves = st.builds(
    Leaf,
    fails=st.lists(st.sampled_from((0, 0, 0, 0, 1, 2)), min_size=1, max_size=3).map(tuple),
    retries=st.sampled_from((0, 0, 1, 2)),
    base=numbers,
    items=st.lists(numbers, max_size=3).map(tuple),
    instant=rarely,
)


@st.composite
def plans(draw: Draw) -> Group:
    """A whole pipeline."""
    return _group(draw, 0, [], "")


def _group(draw: Draw, depth: int, given: list[Available], label: str) -> Group:
    steps: list[Step] = []
    available = list(given)
    while len(steps) < MAX_STEPS and (draw(st.integers(0, 4)) or (not depth and not steps)):  # so it shrinks well
        step = _step(draw, f"{label}{chr(ord('a') + len(steps))}", depth, steps, available)
        steps.append(step)
        available += [(step.name, *one) for one in outputs(step)]
    return Group(tuple(steps), _exports(draw, steps) if depth else (), backwards=draw(st.booleans()))


def _step(draw: Draw, name: str, depth: int, before: list[Step], available: list[Available]) -> Step:
    names = [step.name for step in before]
    after = tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=2))) if names else ()
    always = draw(rarely)
    inputs = _inputs(draw, available)
    if always and names and draw(st.booleans()):
        inputs.append(Input("status", "status", 0, draw(st.sampled_from(names)), ""))
    numbers_in = [one.name for one in inputs if one.kind == "parameters" and one.depth == 0]
    condition = None
    if numbers_in and draw(rarely):
        condition = draw(st.sampled_from(numbers_in)), draw(st.sampled_from(COMPARISONS)), draw(numbers)
    kind = draw(st.sampled_from(("leaf", "leaf", "group", "loop"))) if depth < MAX_DEPTH else "leaf"
    if kind == "leaf":
        return Step(name, draw(leaves), tuple(inputs), after, always, condition)
    loop = _loop(draw, inputs) if kind == "loop" else None
    inside: list[Available] = [("", one.name, one.kind, one.depth) for one in inputs if one.kind != "status"]
    if loop:
        inside.append(("", ITEM, "artifacts" if loop.artifacts else "parameters", loop.depth))
    body = _group(draw, depth + 1, inside, name)
    return Step(name, body, tuple(inputs), after, always, condition, loop)


def _inputs(draw: Draw, available: list[Available]) -> list[Input]:
    if not available:
        return []
    chosen = draw(st.lists(st.sampled_from(available), max_size=3))
    inputs = []
    for number, (task, key, kind, depth) in enumerate(chosen):
        need = draw(st.sampled_from(("required", "optional", "default")))
        default = draw(numbers) if need == "default" and kind == "parameters" and depth == 0 else None
        inputs.append(Input(f"in{number}", kind, depth, task, key, need == "optional", default))
    return inputs


def _loop(draw: Draw, inputs: list[Input]) -> Loop:
    parallelism = draw(st.integers(0, 3))
    sources = [one for one in inputs if one.depth > 0]
    if sources and draw(st.booleans()):
        source = draw(st.sampled_from(sources))
        return Loop((), source.name, source.kind == "artifacts", source.depth - 1, parallelism)
    items = draw(st.lists(numbers | st.just("word") if draw(rarely) else numbers, max_size=4))
    return Loop(tuple(items), parallelism=parallelism)


def _exports(draw: Draw, steps: list[Step]) -> tuple[Export, ...]:
    """Some outputs of the steps, or the first of two (OneOf)."""
    known = [(step.name, *one) for step in steps for one in outputs(step)]
    if not known:
        return ()
    exports = []
    for number in range(draw(st.integers(0, 2))):
        task, key, kind, depth = draw(st.sampled_from(known))
        others = [(t, k) for t, k, *rest in known if rest == [kind, depth] and (t, k) != (task, key)]
        more = [draw(st.sampled_from(others))] if others and draw(rarely) else []
        exports.append(Export(f"out{number}", kind, depth, ((task, key), *more)))
    return tuple(exports)
