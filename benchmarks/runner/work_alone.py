"""One component's function, and nothing around it: how long its imports take, and how long its body.

    python work_alone.py PIPELINES.py FUNCTION NAME=PATH-OR-NUMBER...

Standard library only at the top: it runs in every environment. Prints {"imports": seconds, "body": seconds}.
"""

import __future__

import ast
import importlib
import json
import sys
import time
import types
from pathlib import Path
from typing import Any


class Artifact:
    """What a function wants of an artifact."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}

    def log_metric(self, name: str, value: float) -> None:
        self.metadata[name] = value


def main(file: str, name: str, *given: str) -> None:
    tree = ast.parse(Path(file).read_text())
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    modules = [alias.name for node in ast.walk(found) if isinstance(node, ast.Import) for alias in node.names]
    found.decorator_list = []
    code = ast.Module(body=[found], type_ignores=[])
    flags = __future__.annotations.compiler_flag  # KFP's types are not there, and not needed
    space = types.ModuleType("__main__")
    exec(compile(code, file, "exec", flags=flags, dont_inherit=True), vars(space))  # noqa: S102
    values: dict[str, Any] = {}
    for key, _, text in (one.partition("=") for one in given):
        values[key] = int(text) if text.isdigit() else Artifact(text)
    start = time.perf_counter()
    for module in modules:
        importlib.import_module(module)
    between = time.perf_counter()
    vars(space)[name](**values)
    end = time.perf_counter()
    print(json.dumps({"imports": between - start, "body": end - between}))


if __name__ == "__main__":
    main(*sys.argv[1:])
