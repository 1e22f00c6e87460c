"""What a source text imports, found in its syntax tree without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

# What an attribute of a module loads only when it is used.
LAZY = {("tensorflow", "keras"): "keras"}

# The only "name taken" from a module that a text names: no import can take it.
CHOICE = "*choice*"
FORM = 3  # of what is remembered of a source text
_NAMED = re.compile(r"""(?<!\\)(["'])(headrace(?:\.[a-z_][a-z0-9_]*)+)\1""")
_ATTRIBUTE = re.compile(rf"\b(\w+)\.({'|'.join(sorted({attribute for _, attribute in LAZY}))})\b")
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")

# (module, names taken from it, whether importing the file imports it), relative ones with their dots
Imports = tuple[tuple[str, tuple[str, ...], bool], ...]


def direct_imports(source: str) -> Imports:
    """Every import in a source text, in the order in which they stand; none where it is not Python.

    Only statements are visited, as only they import. What expressions say of imports, `tf.keras` and the whole name of
    a module of ours in a text, is looked for in the text itself: in a comment it counts too, which does no harm.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found: dict[tuple[str, bool], set[str]] = {}
    aliases: dict[str, str] = {}
    for node, top in _statements(tree.body, top=True):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault((alias.name, top), set())
                aliases[alias.asname or alias.name] = alias.name
        else:
            module = "." * node.level + (node.module or "")
            found.setdefault((module, top), set()).update(alias.name for alias in node.names)
    for _, name in _NAMED.findall(source):
        found.setdefault((name, False), set()).add(CHOICE)
    if any(module in aliases.values() for module, _ in LAZY):
        for name, attribute in _ATTRIBUTE.findall(source):
            if behind := LAZY.get((aliases.get(name, ""), attribute)):
                found.setdefault((behind, False), set())
    return tuple((module, tuple(sorted(names)), top) for (module, top), names in found.items())


def _statements(body: list[ast.stmt], *, top: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The imports in a body and in those within it, and whether running the body runs them."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, top
            continue
        inner = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in ("orelse",) if _is_type_checking(node) else _BODIES:
            if inside := getattr(node, name, None):
                yield from _statements(inside, top=inner)


def _is_type_checking(node: ast.stmt) -> bool:
    """Whether it is `if TYPE_CHECKING:`, of which no run takes the body."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
