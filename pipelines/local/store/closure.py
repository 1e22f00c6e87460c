"""What code a task consists of, found without running it: the closure of imports from its source on.

Follows every `import` in the abstract syntax tree, inside functions too, through the modules of this package
and of the folders on PYTHONPATH. The hash of those files is the task's code digest; whatever else is imported
comes from the environment, whose lock has a digest of its own, and is what a warm worker imports beforehand.
A module of ours whose whole name stands in a text is one to choose from, `{"mlp": "headrace.trainer.models.mlp"}`:
its code counts, and what it imports is imported beforehand only where a pipeline's constants say its last part.
Imports by a name that is computed otherwise are not seen.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.pipelines.local.store import known_closures
from headrace.pipelines.local.store.imports import CHOICE, FORM, Imports, direct_imports

# Files beside a module that its code reads.
DATA_SUFFIXES = frozenset(
    (".css", ".html", ".j2", ".js", ".json", ".pbtxt", ".proto", ".sql", ".svg", ".txt", ".yaml", ".yml")
)

# Clients of remote services, and what distributes work: seconds to import, and of no use to most steps that run here.
NOT_PRELOADED = (
    "adbc_driver_postgresql",
    "aiohttp",
    "apache_beam",
    "boto3",
    "botocore",
    "click",
    "docker",
    "gcsfs",
    "google.api_core",
    "google.auth",
    "google.cloud",
    "googleapiclient",
    "grpc",
    "kfp",
    "kubernetes",
    "mlflow",
    "requests",
    "s3fs",
    "sqlalchemy",
    "urllib3",
    "vertexai",
)
_NOT_PRELOADED = tuple(f"{name}." for name in NOT_PRELOADED)
_RULES = [str(Path(__file__).with_name(name)) for name in ("closure.py", "imports.py", "known_closures.py")]
CLOSURES = "compiled/closures.json"  # within a home


@dataclass(frozen=True)
class Closure:
    """The code of one task."""

    digest: str
    needs: tuple[str, ...]  # modules that it is sure to import, third-party before our own
    preload: tuple[str, ...]  # these, and the ones that it may import on the way
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # last part of a name -> what is behind it
    light: bool = False  # whether it is sure to need nobody else's module

    def needs_for(self, words: Container[str]) -> tuple[str, ...]:
        """What must be there before its task begins where the pipeline says these words."""
        return (*self.needs, *self._chosen(words)) if self.light else self.needs

    def preload_for(self, words: Container[str]) -> tuple[str, ...]:
        """What a warm worker should import where the pipeline says these words."""
        return tuple(dict.fromkeys([*self.needs_for(words), *self.preload, *self._chosen(words)]))

    def _chosen(self, words: Container[str]) -> list[str]:
        return [module for word, modules in self.choices.items() if word in words for module in modules]


class Closures:
    """Computes closures; reads and parses every file once.

    `remembered` gives, by the hash of a file's content, its imports, so that a later run need not parse it again;
    `learned` holds what this one added. `memory` is a file that keeps whole closures, which hold while nothing that was
    looked at for them has changed.
    """

    def __init__(
        self,
        roots: Mapping[str, Path],
        folders: Iterable[Path] = (),
        remembered: Callable[[], Mapping[str, Imports]] = dict,
        memory: Path | None = None,
    ):
        self._roots = dict(roots)  # top-level package -> its folder
        self._folders = [folder for folder in folders if folder.is_dir()]
        self._remember = remembered
        self._remembered: dict[str, Imports] | None = None
        self.learned: dict[str, Imports] = {}
        self._files: dict[Path, tuple[str, Imports]] = {}
        self._found: dict[str, Path | None] = {}
        self._listed: dict[Path, dict[str, bool]] = {}
        self._memory = memory
        self._places = [*(f"{name}={folder}" for name, folder in self._roots.items()), *map(str, self._folders)]
        self._known = known_closures.load(memory, self._places) if memory else known_closures.Known()
        self._new: dict[str, Closure] = {}
        self._looked = {name: known_closures.status(name) for name in _RULES}
        self._began = time.time_ns()

    def of_source(self, source: str) -> Closure:
        """The closure of a component's source text."""
        text = hashlib.sha256(source.encode()).hexdigest()
        if text in self._known.closures:
            return Closure(**self._known.closures[text])
        if text not in self._new:
            collects = gc.isenabled()
            gc.disable()  # trees of syntax are many objects, and no garbage
            try:
                self._new[text] = self._compute(source)
            finally:
                if collects:
                    gc.enable()
        return self._new[text]

    @property
    def files(self) -> list[Path]:
        """What was read so far."""
        return list(self._files)

    def keep(self) -> None:
        """Writes what was computed to the memory."""
        if self._memory and self._new:
            new = {text: vars(closure) for text, closure in self._new.items()}
            known = known_closures.Known({**self._known.closures, **new}, {**self._known.looked, **self._looked})
            known_closures.save(self._memory, self._places, known, self._began)

    def _compute(self, source: str) -> Closure:
        imports = tuple((module, names, CHOICE not in names) for module, names, _ in self._imports_of(source.encode()))
        sure, sure_outside, _ = self._reach(imports, always=True)
        modules, outside, choices = self._reach(imports, always=False)
        needs = _importable(sure, sure_outside)
        light = all(map(_not_preloaded, sure_outside))
        preload = dict.fromkeys((*needs, *self._beforehand(modules, outside, light)))
        behind: dict[str, tuple[str, ...]] = {}
        todo = list(choices)
        while todo:
            name = todo.pop()
            more, theirs, others = self._reach(((name, (), True),), always=False)
            todo += [other for other in others if other not in choices]
            choices |= others
            modules |= more
            word = name.rpartition(".")[2]
            behind[word] = (*behind.get(word, ()), *self._beforehand(more, theirs, light=False))
        return Closure(self._digest(source, modules), needs, tuple(preload), behind, light)

    def _reach(self, imports: Imports, always: bool) -> tuple[dict[str, Path], dict[str, None], dict[str, None]]:
        """Our modules that are reached, the names of others', and those of ours that are chosen by name.

        `always`: by imports at top level.
        """
        modules: dict[str, Path] = {}
        outside: dict[str, None] = {}
        choices: dict[str, None] = {}
        todo = [("", module, names) for module, names, _ in reversed(imports)]  # importing package, module, names
        while todo:
            package, module, names = todo.pop()
            name = _absolute(package, module)
            if not name or name.split(".")[0] in sys.stdlib_module_names:
                continue
            if CHOICE in names:
                choices |= dict.fromkeys([name] if self._find(name) else [])
                continue
            if self._find(name.split(".")[0]) is None:
                outside.setdefault(name)
                continue
            for candidate in (*_prefixes(name), *(f"{name}.{n}" for n in names if n != "*")):
                file = self._find(candidate)
                if file is None or candidate in modules:
                    continue
                modules[candidate] = file
                if file.suffix == ".py":
                    package = _package_of(candidate, file)
                    todo += [(package, m, n) for m, n, top in reversed(self._read(file)[1]) if top or not always]
        return modules, outside, choices

    def _beforehand(self, modules: Mapping[str, Path], outside: Iterable[str], light: bool) -> tuple[str, ...]:
        """What of the modules that a step may need is worth having before it begins.

        A step that is sure to need nobody else's module is a light one. What it may need of them on its way is mostly
        not needed, and a worker that imports it keeps this step and others waiting.
        """
        costly = self._resting_on(modules, (lambda name: True) if light else _not_preloaded)
        return _importable([name for name in modules if name not in costly], () if light else outside)

    def _resting_on(self, modules: Mapping[str, Path], unwanted: Callable[[str], bool]) -> set[str]:
        """Our modules that cannot be imported without an unwanted one of others."""
        ours: dict[str, set[str]] = {}
        found: set[str] = set()
        for name, file in modules.items():
            package = _package_of(name, file)
            taken = [(_absolute(package, m), n) for m, n, top in self._read(file)[1] if top and CHOICE not in n]
            ours[name] = {one for m, names in taken for one in (m, *(f"{m}.{n}" for n in names))}
            if any(unwanted(m) for m, _ in taken if m and self._is_outside(m)):
                found.add(name)
        while more := {name for name, imported in ours.items() if name not in found and imported & found}:
            found |= more
        return found

    def _is_outside(self, module: str) -> bool:
        top = module.split(".")[0]
        return top not in sys.stdlib_module_names and self._find(top) is None

    def _digest(self, source: str, modules: Mapping[str, Path]) -> str:
        """One hash over the source and every file of ours that it reaches."""
        files = {name: file for name, file in modules.items() if file.suffix == ".py"}
        for name, file in list(files.items()):
            for data in self._beside(file.parent):
                files[f"{name.rpartition('.')[0]}/{data.name}"] = data
        digest = hashlib.sha256(source.encode())
        for name in sorted(files):
            digest.update(f"\0{name}\0{self._read(files[name])[0]}".encode())
        return digest.hexdigest()

    def _find(self, name: str) -> Path | None:
        """The file of one of our modules (or its folder, without __init__.py); None for anyone else's."""
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> Path | None:
        top, *rest = name.split(".")
        if top in self._roots and not rest:
            return self._package(self._roots[top])
        for base in [self._roots[top]] if top in self._roots else self._folders:
            place = base.joinpath(*(rest if top in self._roots else (top, *rest)))
            beside = self._list(place.parent)
            if beside.get(place.name) is False and "__init__.py" in self._list(place):
                return place / "__init__.py"
            if beside.get(f"{place.name}.py"):
                return place.with_name(f"{place.name}.py")
            if beside.get(place.name) is False:
                return place
        return None

    def _package(self, folder: Path) -> Path:
        return folder / "__init__.py" if "__init__.py" in self._list(folder) else folder

    def _list(self, folder: Path) -> dict[str, bool]:
        """What lies in a folder, and whether it is a file; nothing where there is no such folder."""
        if folder not in self._listed:
            self._looked[str(folder)] = known_closures.status(str(folder))
            try:
                with os.scandir(folder) as entries:
                    self._listed[folder] = {entry.name: entry.is_file() for entry in entries}
            except (FileNotFoundError, NotADirectoryError):
                self._listed[folder] = {}
        return self._listed[folder]

    def _beside(self, folder: Path) -> list[Path]:
        """The files of data in a folder."""
        names = sorted(name for name, is_file in self._list(folder).items() if is_file)
        return [folder / name for name in names if os.path.splitext(name)[1] in DATA_SUFFIXES]  # noqa: PTH122 (hot)

    def _read(self, file: Path) -> tuple[str, Imports]:
        """The hash of a file's content, and its imports."""
        if file not in self._files:
            self._looked[str(file)] = known_closures.status(str(file))
            content = file.read_bytes()
            imports = self._imports_of(content) if file.suffix == ".py" else ()
            self._files[file] = hashlib.sha256(content).hexdigest(), imports
        return self._files[file]

    def _imports_of(self, content: bytes) -> Imports:
        digest = f"{FORM} {hashlib.sha256(content).hexdigest()}"
        if self._remembered is None:
            self._remembered = dict(self._remember())
        known = self._remembered.get(digest)
        if known is None:
            known = direct_imports(content.decode(errors="replace"))
            self._remembered[digest] = self.learned[digest] = known
        return known


def _importable(modules: Iterable[str], outside: Iterable[str]) -> tuple[str, ...]:
    """What a warm worker should import: others' modules, then ours, from the innermost out."""
    theirs = [m for m in outside if not _not_preloaded(m)]
    return (*theirs, *reversed([m for m in modules if m.rpartition(".")[2] != "__main__"]))


def _not_preloaded(module: str) -> bool:
    return f"{module}.".startswith(_NOT_PRELOADED)


def _absolute(package: str, module: str) -> str:
    """`module` as seen from within `package`; "" for a relative import that leads out of it."""
    if not module.startswith("."):
        return module
    name = module.lstrip(".")
    parts = package.split(".") if package else []
    up = len(module) - len(name) - 1
    if up >= len(parts):
        return ""
    return ".".join(parts[: len(parts) - up] + ([name] if name else []))


def _package_of(name: str, file: Path) -> str:
    """The package that a module's relative imports begin at."""
    return name if file.name == "__init__.py" else name.rpartition(".")[0]


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def default_closures(remembered: Callable[[], Mapping[str, Imports]] = dict, memory: Path | None = None) -> Closures:
    """Closures over this package, wherever it is installed, and over PYTHONPATH."""
    import headrace

    folders = [Path(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return Closures({"headrace": Path(str(headrace.__file__)).parent}, folders, remembered, memory)
