"""TFDV's accumulators and figures, without the import of TensorFlow and Beam.

`import tensorflow_data_validation` imports both, for three seconds of a core; the classes that are used here need
neither. So their modules are loaded by themselves, with stand-ins for the two: these satisfy a base class, a decorator
or an annotation, and say so where anything should want more of them. Then all that has seen a stand-in is forgotten, so
that whoever imports TFDV later gets it whole.

Under Beam, TFDV is imported as it is: accumulators travel between its workers, and are looked up there by name.
"""

from __future__ import annotations

import abc
import functools
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "tensorflow_data_validation"
_FOLDERS = ("", ".arrow", ".statistics", ".statistics.generators", ".utils")  # whose __init__ imports everything
_STOOD_FOR = ("apache_beam", "tensorflow")


@dataclass(frozen=True)
class Tfdv:
    """The modules that are used, under TFDV's names for them."""

    basic_stats_generator: Any
    top_k_uniques_stats_util: Any
    example_weight_map: Any
    constants: Any
    types: Any


def tfdv() -> Tfdv:
    """TFDV's modules: as they are where Beam is there already, else by themselves.

    Raises:
        ImportError: TFDV is not installed.
    """
    return _whole() if "apache_beam" in sys.modules else _alone()


@functools.cache
def _whole() -> Tfdv:
    return _load()


@functools.cache
def _alone() -> Tfdv:
    with _standing_in():
        found = _load()
    found.basic_stats_generator._update_tfdv_telemetry = _no_counters
    return found


def _no_counters(accumulator: Any) -> None:
    """Beam's counters of what kinds of values there were: without Beam nobody reads them."""


def _load() -> Tfdv:
    return Tfdv(
        *(
            importlib.import_module(f"{_PACKAGE}.{name}")
            for name in (
                "statistics.generators.basic_stats_generator",
                "utils.top_k_uniques_stats_util",
                "utils.example_weight_map",
                "constants",
                "types",
            )
        )
    )


class _StandIn(abc.ABCMeta):
    """The type of stand-ins, which are classes: to derive from, to call as decorators, to take attributes of."""

    loading = False

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls._only_while_loading(name)

    def __getitem__(cls, key: Any) -> Any:
        return cls._only_while_loading(f"[{key}]")

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        return cls._only_while_loading("()")

    def _only_while_loading(cls, name: str) -> Any:
        if not _StandIn.loading:
            raise RuntimeError(
                f"expected TFDV's statistics to need neither TensorFlow nor Beam. Received: {cls.__name__} wants {name}"
            )
        return _Nothing


class _Nothing(metaclass=_StandIn):
    pass


class _StandInModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing


class _Finder:
    """Finds stand-ins for what is not to be imported, and TFDV's folders without what is in their __init__."""

    def __init__(self, place: Path) -> None:
        self._folders = {_PACKAGE + name: place.joinpath(*name.split(".")[1:]) for name in _FOLDERS}

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if name in self._folders:
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(self._folders[name])]
            return spec
        if name.split(".")[0] in _STOOD_FOR:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


@contextmanager
def _standing_in() -> Iterator[None]:
    package = importlib.util.find_spec(_PACKAGE)  # finds it, and imports nothing
    if package is None or package.origin is None:
        raise ImportError(f"{_PACKAGE}: expected it in the environment of this step. Received: none")
    finder = _Finder(Path(package.origin).parent)
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == _PACKAGE}
    before = set(sys.modules)
    sys.meta_path.insert(0, finder)
    _StandIn.loading = True
    try:
        yield
    finally:
        _StandIn.loading = False
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if _has_seen_one(name, sys.modules[name]):
                _forget(name)
        sys.modules.update(hidden)


def _has_seen_one(name: str, module: ModuleType) -> bool:
    values = list(vars(module).values())
    return (
        name.split(".")[0] in (_PACKAGE, *_STOOD_FOR)
        or any(isinstance(value, _StandIn | _StandInModule) for value in values)
        or any(isinstance(value, ModuleType) and value.__name__.split(".")[0] == _PACKAGE for value in values)
    )


def _forget(name: str) -> None:
    module = sys.modules.pop(name)
    parent, _, last = name.rpartition(".")
    if parent in sys.modules and vars(sys.modules[parent]).get(last) is module:
        delattr(sys.modules[parent], last)


tfdv()  # here, so that a warm worker that imports this module beforehand has it
