"""Which model and which of its versions a line of the audit log is about."""

from __future__ import annotations

from headrace.platforms.interface import Event

_AT_ENDPOINTS = ("deploy", "split", "rollback")


def model_of(event: Event) -> str:
    """The model's name. What was done at an endpoint names it: the endpoint may be called as another model is."""
    return str(event.detail.get("model", "")) if event.action in _AT_ENDPOINTS else event.subject


def versions_of(event: Event) -> tuple[str, ...]:
    """The numbers of that model's versions: the one that serves, those beside it, and those that were taken out."""
    detail = event.detail
    found = [detail["version"]] if "version" in detail else []
    if event.action == "rollback":
        found += [detail.get("before"), *(detail.get("also") or ())]
    if event.action == "split" and isinstance(detail.get("traffic"), dict):
        found += detail["traffic"]
    if event.action in ("deploy", "split"):
        found += detail.get("shadows") or ()
    return tuple(dict.fromkeys(str(number) for number in found))
