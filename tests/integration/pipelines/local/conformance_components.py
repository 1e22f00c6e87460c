"""The components that the conformance suite's pipelines are made of."""

# What stands in components is what users write.
# ruff: noqa: PTH123, E741, UP045

import functools
from typing import NamedTuple, Optional

from kfp import dsl

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def add(a: int, b: int = 1) -> int:
    return a + b


@component
def text(x: str) -> str:
    return x


@component
def join(items: list) -> str:
    return "+".join(str(item) for item in items)


@component
def count(n: int) -> list:
    return list(range(n))


@component
def pairs(n: int) -> list:
    return [{"key": f"k{i}", "parts": list(range(i))} for i in range(n)]


@component
def show(i: int = 7, f: float = 0.5, s: str = "word", b: bool = True, l: list = [1], d: dict = {"k": 1}) -> str:  # noqa: B006
    return repr((i, f, s, b, l, d))


@component
def show_optional(
    i: Optional[int] = None,
    f: Optional[float] = None,
    s: Optional[str] = None,
    b: Optional[bool] = None,
    l: Optional[list] = None,
    d: Optional[dict] = None,
) -> str:
    return repr((i, f, s, b, l, d))


@component
def give(i: int, f: float, s: str, b: bool, l: list, d: dict) -> NamedTuple(
    "Given", [("i", int), ("f", float), ("s", str), ("b", bool), ("l", list), ("d", dict)]
):
    return (i, f, s, b, l, d)


@component
def write(content: str, out: dsl.Output[dsl.Dataset]):
    with open(out.path, "w") as file:
        file.write(content)
    out.metadata["length"] = len(content)


@component
def read(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        return f"{file.read()}:{data.metadata.get('length')}"


@component
def read_all(data: dsl.Input[list[dsl.Dataset]]) -> str:
    return "+".join(open(item.path).read() for item in data)


@component
def read_if_any(data: Optional[dsl.Input[dsl.Dataset]] = None) -> str:
    return "none" if data is None else open(data.path).read()
