"""The Google provider's arguments, as far as infra/ uses them: `provider_arguments.json`, copied from the provider's sources.

A resource's `file` is where its schema stands below `source`. An argument is `TYPE` and a mark: `!` required, none optional,
`?` optional and else computed, `=` computed. A block has `block` (list or set, and a mark), `most` (0: any number) and its
`arguments`; one without arguments is not used in infra/, and who wants to copies them from that file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TABLE: dict[str, Any] = json.loads((Path(__file__).parent / "provider_arguments.json").read_text())

# Terraform's own, in every resource.
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "dynamic"}


def arguments(kind: str, type: str) -> dict[str, Any]:
    """The arguments of a `resource` or `data` source."""
    return dict(TABLE[kind][type]["arguments"])


def is_block(argument: Any) -> bool:
    return isinstance(argument, dict)


def mark(argument: Any) -> str:
    """`!`, `?`, `=` or nothing."""
    text = argument["block"] if is_block(argument) else argument
    return text[-1] if text[-1] in "!?=" else ""
