"""What the `features` section says that does not go with the columns' types; light, for `headrace validate`."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.components.transform.spec import FeaturesSpec
from headrace.trainer.expressions.nodes import BOOLEAN, DATE, NUMBER, TEXT
from headrace.trainer.features.steps import misfit

Place = tuple[str, ...]
TYPE_OF = {NUMBER: "number", BOOLEAN: "boolean", TEXT: "category", DATE: "date"}  # of a column, by what expressions say


def misfits(features: FeaturesSpec, types: Mapping[str, str]) -> list[tuple[Place, str]]:
    """What is wrong, each with its place below `features`.

    Args:
        features: the section.
        types: column or constructed feature -> `number`, `boolean`, `category`, `date` or `text`; those that are not
            here are not judged.
    """
    found: list[tuple[Place, str]] = []
    for name, chains in features.wanted.encode.items():
        type = types.get(name)
        if type is None:
            continue
        if type == "category" and name in features.text_columns:
            type = "text"
        for chain in chains:
            problem = misfit(chain, type)
            if problem is not None:
                found.append((("encode", name), problem))
                break
    for name in features.text:
        if types.get(name) not in (None, "category", "text"):
            found.append((("text", name), f"expected a column of texts. Received: a column of type {types[name]}"))
    return found
