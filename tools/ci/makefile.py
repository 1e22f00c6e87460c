"""What the Makefile offers: its targets, and the variables that a caller may set."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Makefile:
    """The targets of a Makefile with the variables that each one's recipe reads, those of what it needs included."""

    variables: dict[str, frozenset[str]]

    @property
    def targets(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self.variables)


def read_makefile(file: Path) -> Makefile:
    """Reads a Makefile of simple rules: no includes, no pattern rules, no `define`."""
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    rules = re.findall(r"^([a-z][a-z0-9-]*):(?!=)([^\n#]*)(?:##[^\n]*)?\n((?:\t[^\n]*\n)*)", text, re.MULTILINE)
    needs = {name: required.split() for name, required, _ in rules}
    own = {name: set(re.findall(r"\$\(([A-Z_]+)\)", recipe)) for name, _, recipe in rules}

    def all_of(name: str, above: tuple[str, ...] = ()) -> frozenset[str]:
        found = set(own.get(name, ()))
        for other in needs.get(name, []):
            if other not in above:
                found |= all_of(other, (*above, name))
        return frozenset(found)

    return Makefile({name: all_of(name) for name in needs})


def recipe(root: Path, target: str) -> list[list[str]]:
    """The commands of a target, as words: what `make -n` says."""
    said = subprocess.run(["make", "-n", target], cwd=root, capture_output=True, text=True, check=True).stdout
    return [shlex.split(line) for line in said.splitlines() if not line.startswith("make")]
