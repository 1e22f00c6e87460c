"""What a caller of `make` has to say."""

from __future__ import annotations

from tools.delivery.errors import DeliveryError


def needed(**given: str) -> None:
    """Checks that all of it was said.

    Raises:
        DeliveryError: names what is missing.
    """
    if missing := [name for name, value in given.items() if not value]:
        raise DeliveryError(f"expected {' and '.join(missing)}: `make ... {missing[0]}=...`. Received: nothing")
