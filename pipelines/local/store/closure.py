"""What code a task consists of, found without running it: the closure of imports from its source on.

Follows every `import` in the abstract syntax tree, inside functions too, through the modules of this package
and of the folders on PYTHONPATH. The hash of those files is the task's code digest; whatever else is imported
comes from the environment, whose lock has a digest of its own, and is what a warm worker imports beforehand.
A module of ours whose whole name stands in a text is one to choose from, `{"mlp": "headrace.trainer.models.mlp"}`:
its code counts, and what it imports is imported beforehand only where a pipeline's constants say its last part.
Imports by a name that is computed otherwise are not seen.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Files beside a module that its code reads.
DATA_SUFFIXES = frozenset(
    (".css", ".html", ".j2", ".js", ".json", ".pbtxt", ".proto", ".sql", ".svg", ".txt", ".yaml", ".yml")
)

# Clients of remote services: seconds to import, and of no use to a step that runs here.
NOT_PRELOADED = (
    "google.cloud",
    "google.auth",
    "google.api_core",
    "googleapiclient",
    "kfp",
    "kubernetes",
    "vertexai",
    "docker",
    "mlflow",
    "sqlalchemy",
    "boto3",
    "click",
)

# What an attribute of a module loads only when it is used.
LAZY = {("tensorflow", "keras"): "keras"}

# The only "name taken" from a module that a text names: no import can take it.
CHOICE = "*choice*"
_MODULE = re.compile(r"headrace(\.[a-z_][a-z0-9_]*)+")
_FORM = 2  # of what is remembered of a source text; 1 did not know of choices

# (module, names taken from it, whether importing the file imports it), relative ones with their dots
Imports = tuple[tuple[str, tuple[str, ...], bool], ...]


@dataclass(frozen=True)
class Closure:
    """The code of one task."""

    digest: str
    files: tuple[Path, ...]
    needs: tuple[str, ...]  # modules that it is sure to import, third-party before our own
    preload: tuple[str, ...]  # these, and the ones that it may import on the way
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # last part of a name -> what is behind it

    def preload_for(self, words: Container[str]) -> tuple[str, ...]:
        """What a warm worker should import where the pipeline says these words."""
        chosen = [modules for word, modules in self.choices.items() if word in words]
        return tuple(dict.fromkeys([*self.preload, *(module for modules in chosen for module in modules)]))


def direct_imports(source: str) -> Imports:
    """Every import in a source text, in the order in which they stand; none where it is not Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found: dict[tuple[str, bool], set[str]] = {}
    aliases: dict[str, str] = {}
    lazy: dict[str, None] = {}
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, top = todo.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault((alias.name, top), set())
                aliases[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.setdefault((module, top), set()).update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            lazy.setdefault(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            found.setdefault((node.value, False), set()).add(CHOICE)
        top = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        todo += [(child, top) for child in reversed(_children(node))]
    for name, _, attribute in (text.partition(".") for text in lazy):
        if behind := LAZY.get((aliases.get(name, ""), attribute)):
            found.setdefault((behind, False), set())
    return tuple((module, tuple(sorted(names)), top) for (module, top), names in found.items())


def _children(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return list(node.orelse)
    return list(ast.iter_child_nodes(node))


class Closures:
    """Computes closures; reads and parses every file once.

    `remembered` maps the hash of a file's content to its imports, so that a later run need not parse it
    again; `learned` holds what this one added.
    """

    def __init__(
        self,
        roots: Mapping[str, Path],
        folders: Iterable[Path] = (),
        remembered: Mapping[str, Imports] | None = None,
    ):
        self._roots = dict(roots)  # top-level package -> its folder
        self._folders = [folder for folder in folders if folder.is_dir()]
        self._remembered = dict(remembered or {})
        self.learned: dict[str, Imports] = {}
        self._files: dict[Path, tuple[str, Imports]] = {}
        self._found: dict[str, Path | None] = {}
        self._data: dict[Path, list[Path]] = {}

    def of_source(self, source: str) -> Closure:
        """The closure of a component's source text."""
        imports = tuple((module, names, CHOICE not in names) for module, names, _ in self._imports_of(source.encode()))
        sure, sure_outside, _ = self._reach(imports, always=True)
        modules, outside, choices = self._reach(imports, always=False)
        needs = _importable(sure, sure_outside)
        preload = dict.fromkeys((*needs, *_importable(modules, outside)))
        behind: dict[str, tuple[str, ...]] = {}
        todo = list(choices)
        while todo:
            name = todo.pop()
            more, theirs, others = self._reach(((name, (), True),), always=False)
            todo += [other for other in others if other not in choices]
            choices |= others
            modules |= more
            word = name.rpartition(".")[2]
            behind[word] = (*behind.get(word, ()), *_importable(more, theirs))
        return Closure(*self._digest(source, modules), needs, tuple(preload), behind)

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
                    inner = candidate if file.name == "__init__.py" else candidate.rpartition(".")[0]
                    todo += [(inner, m, n) for m, n, top in reversed(self._read(file)[1]) if top or not always]
        return modules, outside, choices

    def _digest(self, source: str, modules: Mapping[str, Path]) -> tuple[str, tuple[Path, ...]]:
        """One hash over the source and every file of ours that it reaches, and those files."""
        files = {name: file for name, file in modules.items() if file.suffix == ".py"}
        for name, file in list(files.items()):
            for data in self._beside(file.parent):
                files[f"{name.rpartition('.')[0]}/{data.name}"] = data
        digest = hashlib.sha256(source.encode())
        for name in sorted(files):
            digest.update(f"\0{name}\0{self._read(files[name])[0]}".encode())
        return digest.hexdigest(), tuple(files.values())

    def _find(self, name: str) -> Path | None:
        """The file of one of our modules (or its folder, without __init__.py); None for anyone else's."""
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> Path | None:
        top, *rest = name.split(".")
        bases = [self._roots[top].parent] if top in self._roots else self._folders
        for base in bases:
            place = base.joinpath(top, *rest)
            for file in (place / "__init__.py", place.with_name(place.name + ".py")):
                if file.is_file():
                    return file
            if place.is_dir():
                return place
        return None

    def _beside(self, folder: Path) -> list[Path]:
        if folder not in self._data:
            with os.scandir(folder) as entries:
                files = [folder / entry.name for entry in entries if entry.is_file()]
            self._data[folder] = sorted(file for file in files if file.suffix in DATA_SUFFIXES)
        return self._data[folder]

    def _read(self, file: Path) -> tuple[str, Imports]:
        """The hash of a file's content, and its imports."""
        if file not in self._files:
            content = file.read_bytes()
            imports = self._imports_of(content) if file.suffix == ".py" else ()
            self._files[file] = hashlib.sha256(content).hexdigest(), imports
        return self._files[file]

    def _imports_of(self, content: bytes) -> Imports:
        digest = f"{_FORM} {hashlib.sha256(content).hexdigest()}"
        known = self._remembered.get(digest)
        if known is None:
            known = direct_imports(content.decode(errors="replace"))
            self._remembered[digest] = self.learned[digest] = known
        return known


def _importable(modules: Iterable[str], outside: Iterable[str]) -> tuple[str, ...]:
    """What a warm worker should import: others' modules, then ours, from the innermost out."""
    theirs = [m for m in outside if not f"{m}.".startswith(tuple(f"{n}." for n in NOT_PRELOADED))]
    return (*theirs, *reversed([m for m in modules if m.rpartition(".")[2] != "__main__"]))


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


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def default_closures(remembered: Mapping[str, Imports] | None = None) -> Closures:
    """Closures over this package, wherever it is installed, and over PYTHONPATH."""
    import headrace

    folders = [Path(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return Closures({"headrace": Path(str(headrace.__file__)).parent}, folders, remembered)
