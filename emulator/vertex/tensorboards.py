"""Vertex AI TensorBoard: tensorboards, their experiments, runs and time series.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.tensorboards
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.emulator import filters, masks
from headrace.emulator.documents import Document, stamped
from headrace.emulator.paging import ordered, page
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Handler, Route, refused
from headrace.emulator.vertex import tensorboard_data as data
from headrace.emulator.vertex.names import LOCATION, check_labels, invalid, location, new_id, required

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_MOST_IN_BATCH = 1000
_VALUE_TYPES = {1: "SCALAR", 2: "TENSOR", 3: "BLOB_SEQUENCE"}


@dataclass(frozen=True)
class _Level:
    """One of the four kinds of resources, which stand below each other.

    Attributes:
        kind: of its documents, and its message in the API.
        collection: in names.
        param: its place in templates.
        field: in lists.
        id: the parameter of the query, or the field of a batch, that names a new one; empty where the server does.
        changeable: the fields that a client may change.
        fixed: those that it gives once.
        call: of the SDK.
    """

    kind: str
    collection: str
    param: str
    field: str
    id: str
    changeable: tuple[str, ...]
    fixed: tuple[str, ...]
    call: str


_COMMON = ("displayName", "description", "labels")
_BOARD = _Level(
    "Tensorboard", "tensorboards", "tensorboard", "tensorboards", "", (*_COMMON, "isDefault"), ("encryptionSpec",),
    "Tensorboard",
)  # fmt: skip
_EXPERIMENT = _Level(
    "TensorboardExperiment", "experiments", "experiment", "tensorboardExperiments", "tensorboardExperimentId",
    _COMMON, (), "TensorboardExperiment",
)  # fmt: skip
_RUN = _Level(
    "TensorboardRun", "runs", "run", "tensorboardRuns", "tensorboardRunId", _COMMON, (), "TensorboardRun",
)  # fmt: skip
_SERIES = _Level(
    "TensorboardTimeSeries", "timeSeries", "series", "tensorboardTimeSeries", "tensorboardTimeSeriesId",
    ("displayName", "description", "pluginData"), ("valueType", "pluginName"), "TensorboardTimeSeries",
)  # fmt: skip
_LEVELS = (_BOARD, _EXPERIMENT, _RUN, _SERIES)


def _name(call: Call, level: _Level) -> str:
    """The full name of the resource of a level that a request is about, or is below."""
    name = location(call)
    for one in _LEVELS[: _LEVELS.index(level) + 1]:
        name += f"/{one.collection}/{call.params[one.param]}"
    return name


def _parent(emulator: Emulator, call: Call, level: _Level) -> str:
    """What a resource of this level stands below; it is there."""
    index = _LEVELS.index(level)
    if not index:
        return location(call)
    above = _LEVELS[index - 1]
    return str(emulator.documents.get(above.kind, _name(call, above))["name"])


def _new(emulator: Emulator, level: _Level, parent: str, sent: Document, id: str) -> Document:
    """Makes a resource. Within a transaction.

    Raises:
        Refusal: an id or a field is wrong; its id, or its name within a run or an experiment, is taken.
    """
    if not isinstance(sent, dict):
        raise invalid(f"{level.kind}: expected an object. Received: {sent!r:.200}")
    if id and not _ID.fullmatch(id):
        raise invalid(f"{level.id}: expected to match {_ID.pattern}. Received: {id!r:.200}")
    if not id and level in (_EXPERIMENT, _RUN):
        raise invalid(f"{level.id}: expected one. Received: none")
    check_labels(sent)
    kept: Document = {field: sent[field] for field in (*level.changeable, *level.fixed) if field in sent}
    if level is not _EXPERIMENT:
        required(sent, "displayName", level.kind)
    if level is _SERIES:
        kept["valueType"] = _VALUE_TYPES.get(sent.get("valueType", 0), sent.get("valueType"))
        if kept["valueType"] not in _VALUE_TYPES.values():
            raise invalid(f"value_type: expected one of {', '.join(_VALUE_TYPES.values())}. Received: {sent!r:.200}")
    if level in (_RUN, _SERIES):
        _check_unused(emulator, level, parent, kept["displayName"])
    body = stamped({"name": f"{parent}/{level.collection}/{id or new_id()}", **kept})
    if level is _EXPERIMENT and "source" in sent:
        body["source"] = sent["source"]
    emulator.documents.create(level.kind, body["name"], body, parent)
    _keep_one_default(emulator, level, parent, body)
    return body


def _check_unused(emulator: Emulator, level: _Level, parent: str, title: str, own: str = "") -> None:
    for other in emulator.documents.list(level.kind, parent):
        if other["displayName"] == title and other["name"] != own:
            raise Refusal("ALREADY_EXISTS", f"{level.kind} with display name {title!r} already exists in {parent}")


def _keep_one_default(emulator: Emulator, level: _Level, parent: str, body: Document) -> None:
    if level is not _BOARD or not body.get("isDefault"):
        return
    for other in emulator.documents.list(level.kind, parent):
        if other.get("isDefault") and other["name"] != body["name"]:
            emulator.documents.change(
                level.kind, other["name"], lambda found: stamped({**found, "isDefault": False}, found)
            )


def _shown(emulator: Emulator, level: _Level, document: Document) -> Document:
    """A resource with what is counted when it is asked for."""
    if level is _BOARD:
        experiments = emulator.documents.list(_EXPERIMENT.kind, document["name"])
        runs = sum(len(emulator.documents.list(_RUN.kind, one["name"])) for one in experiments)
        return {**document, "runCount": runs}
    return document


def _creates(level: _Level) -> Handler:
    def create(emulator: Emulator, call: Call) -> Document:
        with emulator.documents.transaction():
            parent = _parent(emulator, call, level)
            body = _new(emulator, level, parent, call.json, call.one(level.id) if level.id else "")
            if level is not _BOARD:
                return body
            return emulator.operations.done(
                body["name"], level.kind, body, metadata="CreateTensorboardOperationMetadata", version=call.version
            )

    return create


def _gets(level: _Level) -> Handler:
    def get(emulator: Emulator, call: Call) -> Document:
        return _shown(emulator, level, emulator.documents.get(level.kind, _name(call, level)))

    return get


def _lists(level: _Level) -> Handler:
    def listed(emulator: Emulator, call: Call) -> Document:
        wanted = filters.predicate(call.one("filter"))
        found = [one for one in emulator.documents.list(level.kind, _parent(emulator, call, level)) if wanted(one)]
        found = ordered(found, call.one("orderBy"))
        some, following = page(found, call.one("pageSize"), call.one("pageToken"))
        mask = ",".join(call.query.get("readMask", []))
        shown = [masks.read(_shown(emulator, level, one), mask) for one in some]
        return {level.field: shown, **({"nextPageToken": following} if following else {})}

    return listed


def _updates(level: _Level) -> Handler:
    def update(emulator: Emulator, call: Call) -> Document:
        sent, name = call.json, _name(call, level)
        check_labels(sent)

        def updated(found: Document) -> Document:
            after = masks.update(found, sent, call.one("updateMask"), level.changeable)
            if level in (_RUN, _SERIES):
                parent = name.rpartition(f"/{level.collection}/")[0]
                _check_unused(emulator, level, parent, required(after, "displayName", level.kind), name)
            return stamped(after, found)

        with emulator.documents.transaction():
            body = emulator.documents.change(level.kind, name, updated, str(sent.get("etag", "")))
            _keep_one_default(emulator, level, location(call), body)
            if level is not _BOARD:
                return body
            return emulator.operations.done(
                name, level.kind, body, metadata="UpdateTensorboardOperationMetadata", version=call.version
            )

    return update


def _deletes(level: _Level) -> Handler:
    def delete(emulator: Emulator, call: Call) -> Document:
        name = _name(call, level)
        with emulator.documents.transaction():
            emulator.documents.get(level.kind, name)
            _remove(emulator, level, name)
            return emulator.operations.done(
                name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
            )

    return delete


def _remove(emulator: Emulator, level: _Level, name: str) -> None:
    """Removes a resource, and all below it."""
    if level is _SERIES:
        data.clear(emulator, name)
    else:
        below = _LEVELS[_LEVELS.index(level) + 1]
        for one in emulator.documents.list(below.kind, name):
            _remove(emulator, below, one["name"])
    emulator.documents.delete(level.kind, name)


def _create_several(level: _Level, field: str) -> Handler:
    """Runs of an experiment, or time series of its runs: all or none."""

    def create(emulator: Emulator, call: Call) -> Document:
        requests = call.json.get("requests") or []
        if not 0 < len(requests) <= _MOST_IN_BATCH:
            raise invalid(f"requests: expected 1 to {_MOST_IN_BATCH}. Received: {len(requests)}")
        with emulator.documents.transaction():
            experiment = emulator.documents.get(_EXPERIMENT.kind, _name(call, _EXPERIMENT))["name"]
            return {level.field: [_one_of_several(emulator, level, experiment, field, one) for one in requests]}

    return create


def _one_of_several(
    emulator: Emulator, level: _Level, experiment: str, field: str, request: Mapping[str, Document]
) -> Document:
    parent = str(request.get("parent") or experiment)
    if level is _SERIES:
        if not parent.startswith(f"{experiment}/runs/"):
            raise invalid(f"requests.parent: expected a run of {experiment}. Received: {parent}")
        emulator.documents.get(_RUN.kind, parent)
    elif parent != experiment:
        raise invalid(f"requests.parent: expected {experiment}. Received: {parent}")
    return _new(emulator, level, parent, request.get(field, {}), str(request.get(level.id) or ""))


def _write_run(emulator: Emulator, call: Call) -> Document:
    with emulator.documents.transaction():
        run = emulator.documents.get(_RUN.kind, _name(call, _RUN))["name"]
        data.write(emulator, run, call.json.get("timeSeriesData") or [])
    return {}


def _write_experiment(emulator: Emulator, call: Call) -> Document:
    with emulator.documents.transaction():
        experiment = emulator.documents.get(_EXPERIMENT.kind, _name(call, _EXPERIMENT))["name"]
        for request in call.json.get("writeRunDataRequests") or []:
            run = str(request.get("tensorboardRun", ""))
            if not run.startswith(f"{experiment}/runs/"):
                raise invalid(f"tensorboard_run: expected a run of {experiment}. Received: {run}")
            emulator.documents.get(_RUN.kind, run)
            data.write(emulator, run, request.get("timeSeriesData") or [])
    return {}


def _read_several(emulator: Emulator, call: Call) -> Document:
    board = emulator.documents.get(_BOARD.kind, _name(call, _BOARD))["name"]
    names = call.query.get("timeSeries") or call.query.get("time_series") or []
    if other := [name for name in names if not name.startswith(f"{board}/experiments/")]:
        raise invalid(f"time_series: expected those of {board}. Received: {other[0]}")
    return {"timeSeriesData": [data.read(emulator, emulator.documents.get(_SERIES.kind, name)) for name in names]}


def _read_one(emulator: Emulator, call: Call) -> Document:
    series = emulator.documents.get(_SERIES.kind, _name(call, _SERIES))
    return {"timeSeriesData": data.read(emulator, series, call.one("maxDataPoints"), call.one("filter"))}


def _export(emulator: Emulator, call: Call) -> Document:
    series, body = emulator.documents.get(_SERIES.kind, _name(call, _SERIES)), call.json
    wanted = filters.predicate(str(body.get("filter", "")))
    found = ordered([one for one in data.points(emulator, series["name"]) if wanted(one)], body.get("orderBy", ""))
    shown, following = page(
        found, str(body.get("pageSize", "")), str(body.get("pageToken", "")), default=1000, identity="step"
    )
    return {"timeSeriesDataPoints": shown, **({"nextPageToken": following} if following else {})}


def _templates() -> dict[str, str]:
    """Of the levels' collections, by their kinds."""
    found, above = {}, LOCATION
    for level in _LEVELS:
        found[level.kind] = f"{above}/{level.collection}"
        above = f"{found[level.kind]}/{{{level.param}}}"
    return found


_ALL = _templates()
_ONE = {level.kind: f"{_ALL[level.kind]}/{{{level.param}}}" for level in _LEVELS}
_BESIDE = {
    ("Tensorboard", "create"): ", init(experiment=)",
    ("Tensorboard", "list"): ", init(experiment=)",
    ("TensorboardRun", "create"): ", start_run, ExperimentRun.assign_backing_tensorboard",
    ("TensorboardTimeSeries", "create"): ", TensorboardRun.create_tensorboard_time_series",
}


def _of_level(level: _Level) -> tuple[Route, ...]:
    every, one = _ALL[level.kind], _ONE[level.kind]
    several: tuple[tuple[str, str, str, Handler], ...] = (
        ("POST", every, "create", _creates(level)),
        ("GET", every, "list", _lists(level)),
        ("GET", one, "get", _gets(level)),
        ("PATCH", one, "update", _updates(level)),
        ("DELETE", one, "delete", _deletes(level)),
    )
    return tuple(
        Route(method, template, handler, f"{level.call}.{verb}{_BESIDE.get((level.kind, verb), '')}")
        for method, template, verb, handler in several
    )


_EXPERIMENTS, _RUNS, _SEVERAL = (_ONE[level.kind] for level in (_EXPERIMENT, _RUN, _SERIES))
_BLOBS, _BYTES = "it keeps no blobs of time series", "it does not count the bytes of time series"
ROUTES = (
    *(route for level in _LEVELS for route in _of_level(level)),
    Route(
        "POST",
        f"{_ALL[_RUN.kind]}:batchCreate",
        _create_several(_RUN, "tensorboardRun"),
        "TensorboardServiceClient.batch_create_tensorboard_runs",
    ),
    Route(
        "POST",
        f"{_EXPERIMENTS}:batchCreate",
        _create_several(_SERIES, "tensorboardTimeSeries"),
        "TensorboardServiceClient.batch_create_tensorboard_time_series",
    ),
    Route(
        "POST",
        f"{_RUNS}:write",
        _write_run,
        "TensorboardRun.write_tensorboard_scalar_data, log_time_series_metrics",
    ),
    Route(
        "POST", f"{_EXPERIMENTS}:write", _write_experiment, "TensorboardServiceClient.write_tensorboard_experiment_data"
    ),
    Route(
        "GET",
        f"{_ONE[_BOARD.kind]}:batchRead",
        _read_several,
        "TensorboardRun.read_time_series_data, ExperimentRun.get_time_series_data_frame, get_experiment_df",
    ),
    Route("GET", f"{_SEVERAL}:read", _read_one, "TensorboardServiceClient.read_tensorboard_time_series_data"),
    Route(
        "POST",
        f"{_SEVERAL}:exportTensorboardTimeSeries",
        _export,
        "TensorboardServiceClient.export_tensorboard_time_series_data",
    ),
    refused("GET", f"{_SEVERAL}:readBlobData", "TensorboardServiceClient.read_tensorboard_blob_data", _BLOBS),
    refused("GET", f"{_ONE[_BOARD.kind]}:readSize", "TensorboardServiceClient.read_tensorboard_size", _BYTES),
    refused("GET", f"{_ONE[_BOARD.kind]}:readUsage", "TensorboardServiceClient.read_tensorboard_usage", _BYTES),
)
