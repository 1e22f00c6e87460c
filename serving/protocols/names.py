"""Under which names and versions the paths of /v1 and /v2 find what is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace.serving.exchange import Handler, HttpError, Request
from headrace.serving.router import Router
from headrace.serving.served import Served

if TYPE_CHECKING:
    from headrace.serving.app import App


_PREFIXES = ("v1", "v2", "inference.GRPCInferenceService")  # how the paths of protocols begin
_MOST = 12  # routes that an error lists


def model_names(app: App) -> tuple[str, ...]:
    """The model's own name, and the one that the server was told to answer to."""
    return tuple(dict.fromkeys(name for name in (app.settings.model_name, app.router.main.name) if name))


def versions(router: Router) -> dict[str, Served]:
    """Version -> what answers for it; a bundle that is in no registry has none."""
    return dict(router.by_version)


def keyed(app: App, request: Request, key: object) -> None:
    """Gives a request the key of its body as the header that the router looks at, where it has none."""
    header = app.router.key.lower().encode()
    if header in request.headers:
        return
    if not isinstance(key, str | int) or isinstance(key, bool):
        raise HttpError(400, "parameters.key: expected a text or a whole number. Received: something else")
    request.headers = {**request.headers, header: str(key).encode()}


def labels(router: Router) -> dict[str, Served]:
    """Names of roles -> what answers for them, as TensorFlow Serving's version labels: the champion is the main one."""
    return {"champion": router.main, "stable": router.main}


def near(routes: Mapping[str, Mapping[str, Handler]], path: str) -> str:
    """What a path which there is not may have meant: models and versions, or the routes of its protocol."""

    def first(one: str) -> str:
        begins = one[1:].partition("/")[0]
        return begins if begins in _PREFIXES else ""

    alike = [one for one in routes if first(one) == first(path)]
    parts = path.split("/")
    if first(path) and len(parts) > 3 and parts[2] == "models":
        named = [one.split("/") for one in alike if one.split("/")[2:3] == ["models"] and one.count("/") > 2]
        models = sorted({one[3].partition(":")[0] for one in named})
        if parts[3].partition(":")[0] not in models:
            return f"a model named {' or '.join(models)}"
        if len(parts) > 5 and parts[4] == "versions":
            known = sorted({one[5].partition(":")[0] for one in named if one[4:5] == ["versions"]})
            if parts[5].partition(":")[0] not in known:
                return f"version {' or '.join(known) or 'none, as the model has no number'}"
    kept = [f"{method} {one}" for one in alike for method in routes[one]]
    more = f" and {len(kept) - _MOST} more, see /openapi.json" if len(kept) > _MOST else ""
    return f"one of {', '.join(kept[:_MOST])}{more}"
