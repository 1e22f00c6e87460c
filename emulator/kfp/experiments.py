"""Experiments of Kubeflow Pipelines, the folders of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.emulator.documents import Document, Documents, now
from headrace.emulator.kfp.resources import (
    ARCHIVED,
    AVAILABLE,
    BASE,
    EXPERIMENT,
    NEVER,
    RECURRING,
    RUN,
    get,
    in_namespace,
    invalid,
    listed,
    new_id,
    taken,
)
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

DEFAULT = "Default"  # which every installation has
_FIELDS = {
    "id": "experiment_id",
    "experiment_id": "experiment_id",
    "storage_state": "storage_state",
    "last_run_created_at": "last_run_created_at",
}


def begin(emulator: Emulator) -> None:
    """Makes the experiment of runs that name none, where there is none yet."""
    default(emulator.documents)


def default(documents: Documents, namespace: str = "") -> Document:
    """The experiment of runs that name none."""
    with documents.transaction():
        found = find(documents, DEFAULT, namespace)
        if found is None:
            described = "All runs created without specifying an experiment will be grouped here."
            found = _make(documents, DEFAULT, described, namespace)
    return found


def find(documents: Documents, name: str, namespace: str) -> Document | None:
    """An experiment by its name."""
    return next((one for one in documents.list(EXPERIMENT, namespace) if one["display_name"] == name), None)


def to_run_in(documents: Documents, id: str, doing: str) -> Document:
    """The experiment of a run or schedule to make; the default one where none is named.

    Raises:
        Refusal: there is none, or it is archived.
    """
    if not id:
        return default(documents)
    experiment = get(documents, EXPERIMENT, id, doing)
    if experiment["storage_state"] == ARCHIVED:
        raise Refusal("FAILED_PRECONDITION", f"{doing}: the experiment {id} is archived")
    return experiment


def _make(documents: Documents, name: str, description: str, namespace: str) -> Document:
    id = new_id()
    body = {
        "experiment_id": id,
        "display_name": name,
        "description": description,
        "created_at": now(),
        "namespace": namespace,
        "storage_state": AVAILABLE,
        "last_run_created_at": NEVER,
    }
    return documents.create(EXPERIMENT, id, body, parent=namespace)


def _create(emulator: Emulator, call: Call) -> Document:
    given, documents = call.json, emulator.documents
    name, namespace = str(given.get("display_name") or ""), str(given.get("namespace") or "")
    if not name.strip():
        raise invalid(
            "Failed to create an experiment", "Experiment name is empty. Please specify a valid experiment name"
        )
    with documents.transaction():
        if find(documents, name, namespace):
            raise taken("Failed to create an experiment", name)
        return _make(documents, name, str(given.get("description") or ""), namespace)


def _get(emulator: Emulator, call: Call) -> Document:
    return get(emulator.documents, EXPERIMENT, call.params["experiment"], "Failed to fetch an experiment")


def _list(emulator: Emulator, call: Call) -> Document:
    found = [one for one in emulator.documents.list(EXPERIMENT) if in_namespace(one, call.one("namespace"))]
    return listed(call, found, "experiments", _FIELDS)


def _delete(emulator: Emulator, call: Call) -> Document:
    """Its runs and recurring runs stay, as they do with the API server."""
    get(emulator.documents, EXPERIMENT, call.params["experiment"], "Failed to delete an experiment")
    emulator.documents.delete(EXPERIMENT, call.params["experiment"])
    return {}


def _archive(emulator: Emulator, call: Call) -> Document:
    """Its runs are archived with it, and its recurring runs disabled."""
    id, documents = call.params["experiment"], emulator.documents
    with documents.transaction():
        get(documents, EXPERIMENT, id, "Failed to archive an experiment")
        documents.change(EXPERIMENT, id, lambda found: {**found, "storage_state": ARCHIVED})
        for run in documents.list(RUN, id):
            documents.change(RUN, run["run_id"], lambda found: {**found, "storage_state": ARCHIVED})
        for one in documents.list(RECURRING, id):
            documents.change(
                RECURRING, one["recurring_run_id"], lambda found: {**found, "mode": "DISABLE", "status": "DISABLED"}
            )
    return {}


def _unarchive(emulator: Emulator, call: Call) -> Document:
    """What was archived with it stays so."""
    id = call.params["experiment"]
    get(emulator.documents, EXPERIMENT, id, "Failed to unarchive an experiment")
    emulator.documents.change(EXPERIMENT, id, lambda found: {**found, "storage_state": AVAILABLE})
    return {}


_ALL, _ONE = f"{BASE}/experiments", f"{BASE}/experiments/{{experiment}}"
ROUTES = (
    Route("POST", _ALL, _create, "kfp.Client.create_experiment"),
    Route("GET", _ALL, _list, "kfp.Client.list_experiments, kfp.Client.get_experiment"),
    Route("GET", _ONE, _get, "kfp.Client.get_experiment"),
    Route("DELETE", _ONE, _delete, "kfp.Client.delete_experiment"),
    Route("POST", f"{_ONE}:archive", _archive, "kfp.Client.archive_experiment"),
    Route("POST", f"{_ONE}:unarchive", _unarchive, "kfp.Client.unarchive_experiment"),
)
