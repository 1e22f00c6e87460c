"""The file of a user's own model, which travels in the compiled pipeline as text: it imports what the image has."""

from __future__ import annotations

import ast
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.components.train.spec import TrainSpec

FUNCTION = "fit"


def embed_module(settings: TrainSpec, folder: Path) -> TrainSpec:
    """The same settings, with the text of the module's file in them.

    Args:
        settings: the spec's `train` section.
        folder: the spec's, which the file is relative to.

    Raises:
        HeadraceError: the file is missing, no Python, or has no function `fit` at its top level.
    """
    if settings.module is None:
        return settings
    path = folder / settings.module
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, settings.module)
    except OSError as error:
        raise HeadraceError(f"{path}: expected the file of train.module. Received: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HeadraceError(f"{path}{f':{line}' if line else ''}: expected Python. Received: {error}") from None
    if not any(isinstance(node, ast.FunctionDef) and node.name == FUNCTION for node in tree.body):
        raise HeadraceError(f"{path}: expected a function `{FUNCTION}(job)`, which train.module needs. Received: none")
    return settings.model_copy(update={"module_text": text})


def module_files(settings: TrainSpec) -> list[str]:
    """The file that the section names, as the spec writes it."""
    return [] if settings.module is None else [settings.module]
