"""Which model and versions a line of the audit log is about."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.platforms.about import model_of, versions_of
from headrace.platforms.interface import Event


@pytest.mark.parametrize(
    ("action", "subject", "detail", "model", "versions"),
    [
        ("register", "homes", {"version": 3, "new": True}, "homes", ("3",)),
        ("state", "homes", {"version": 3, "before": "blessed"}, "homes", ("3",)),
        ("settings", "homes", {"approvals": 2, "before": 1}, "homes", ()),  # a number of people
        ("alias", "homes", {"alias": "stable", "version": 3, "before": 1}, "homes", ("3",)),
        ("deploy", "homes", {"model": "flats", "version": 1, "traffic": 100, "before": ["homes/2"]}, "flats", ("1",)),
        ("deploy", "e", {"model": "homes", "version": 1, "shadows": [2]}, "homes", ("1", "2")),
        ("split", "e", {"model": "homes", "version": 1, "traffic": {"1": 90, "3": 10}, "shadows": [2],
                        "before": ["homes/4"]}, "homes", ("1", "3", "2")),
        ("rollback", "e", {"model": "homes", "version": 1, "before": 3, "also": [2]}, "homes", ("1", "3", "2")),
        ("rollback", "homes", {"model": "flats", "version": 1, "before": 3}, "flats", ("1", "3")),
    ],
)  # fmt: skip
def test_what_a_line_is_about(
    action: str, subject: str, detail: dict[str, Any], model: str, versions: tuple[str, ...]
) -> None:
    event = Event("2026", "eva@desk", action, subject, "", detail)
    assert (model_of(event), versions_of(event)) == (model, versions)
