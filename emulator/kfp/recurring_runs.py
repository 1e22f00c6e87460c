"""Recurring runs of Kubeflow Pipelines: schedules that fire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace.emulator.documents import Document, now
from headrace.emulator.kfp import runs
from headrace.emulator.kfp.experiments import to_run_in
from headrace.emulator.kfp.packages import check_parameters, kept, shown_spec
from headrace.emulator.kfp.resources import (
    BASE,
    EXPERIMENT,
    RECURRING,
    RUN,
    get,
    in_namespace,
    invalid,
    listed,
    new_id,
    written,
)
from headrace.emulator.kfp.schedule import check_trigger, following, with_macros
from headrace.emulator.refusals import CODES, Refusal
from headrace.emulator.routing import Call, Route

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_MOST_AT_ONCE = 10
_AGAIN = timedelta(seconds=1)
_MODES = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}
_FIELDS = {
    "id": "recurring_run_id",
    **{name: name for name in ("recurring_run_id", "experiment_id", "mode", "updated_at")},
    "status": "status",
}
_OWN = ("spec", "last", "index")  # of the document, and not of the API
_CREATE = "Failed to create a recurring run"


def begin(emulator: Emulator) -> None:
    """Has the clock fire what is due."""
    emulator.clock.add(lambda moment: fire(emulator, moment))


def fire(emulator: Emulator, moment: datetime) -> datetime | None:
    """Makes the runs that are due, and returns when the next one will be."""
    coming = []
    for found in emulator.documents.list(RECURRING):
        recurring: Document | None = found
        while recurring and recurring["mode"] == "ENABLE":
            due = following(recurring, moment)
            if due is None or due > moment:
                coming += [due] if due else []
                break
            if _active(emulator, recurring) >= int(recurring["max_concurrency"]):
                coming.append(moment + _AGAIN)  # the clock is woken when one of them ends, before others see it
                break
            recurring = _fire_one(emulator, recurring["recurring_run_id"], due, moment)
            emulator.jobs.wake()
    return min(coming, default=None)


def _active(emulator: Emulator, recurring: Document) -> int:
    made = emulator.documents.list(RUN, recurring["experiment_id"])
    id = recurring["recurring_run_id"]
    return sum(run.get("recurring_run_id") == id and run["state"] not in runs.ENDED for run in made)


def _fire_one(emulator: Emulator, id: str, due: datetime, moment: datetime) -> Document | None:
    """Makes a run, and notes that in the same transaction: neither is there without the other."""
    documents = emulator.documents
    with documents.transaction():
        recurring = documents.find(RECURRING, id)
        if recurring is None or recurring["mode"] != "ENABLE":
            return recurring
        index, run, error = recurring["index"] + 1, new_id(), {}
        runtime = recurring["runtime_config"]
        given = {
            **{name: value for name, value in recurring.items() if name not in _OWN},
            "display_name": f"{recurring['display_name']}-{index}",
            "runtime_config": {**runtime, "parameters": with_macros(runtime["parameters"], due, moment, index, run)},
        }
        if "pipeline_version_reference" not in given and "pipeline_version_id" not in given:
            given["pipeline_spec"] = kept(documents, recurring["spec"])
        more = {"recurring_run_id": id, "scheduled_at": written(due)}
        try:
            runs.create(emulator, given, more, id=run)
        except Refusal as refusal:  # such as a version that was deleted; the schedule goes on
            error = {"error": {"code": CODES[refusal.code][0], "message": refusal.message}}
        return documents.change(
            RECURRING,
            id,
            lambda found: {**_without(found, "error"), "last": written(due), "index": index, **error},
        )


def _without(document: Document, name: str) -> Document:
    return {key: value for key, value in document.items() if key != name}


def _create(emulator: Emulator, call: Call) -> Document:
    given, documents, id = call.json, emulator.documents, new_id()
    name = str(given.get("display_name") or "")
    if not name.strip():
        raise invalid(_CREATE, "Recurring run name is empty. Please specify a valid name")
    check_trigger(given.get("trigger"), _CREATE)
    mode = given.get("mode") or "DISABLE"
    if mode not in _MODES:
        raise invalid(_CREATE, f"mode: expected ENABLE or DISABLE. Received: {mode}")
    runtime = runs.runtime_of(given, _CREATE)
    with documents.transaction():
        experiment = to_run_in(documents, str(given.get("experiment_id") or ""), _CREATE)
        source = runs.source_of(emulator, given, _CREATE)
        check_parameters(kept(documents, source["spec"]), runtime["parameters"], _CREATE)
        moment = now()
        made = documents.create(
            RECURRING,
            id,
            {
                "recurring_run_id": id,
                "display_name": name,
                **source,
                "runtime_config": runtime,
                **{field: given[field] for field in ("description", "service_account") if given.get(field)},
                "max_concurrency": str(_at_once(given.get("max_concurrency"))),
                "trigger": given["trigger"],
                "mode": mode,
                "status": _MODES[mode],
                "no_catchup": bool(given.get("no_catchup")),
                "created_at": moment,
                "updated_at": moment,
                "experiment_id": experiment["experiment_id"],
                "namespace": experiment["namespace"],
                "index": 0,
            },
            parent=experiment["experiment_id"],
        )
    emulator.clock.wake()
    return _shown(emulator, made)


def _at_once(given: Any) -> int:
    try:
        found = int(given or 1)
    except (TypeError, ValueError):
        found = 0
    if not 1 <= found <= _MOST_AT_ONCE:
        raise invalid(_CREATE, f"The max concurrency of the recurring run is out of range. Support 1-{_MOST_AT_ONCE}")
    return found


def _shown(emulator: Emulator, recurring: Document) -> Document:
    told = {key: value for key, value in recurring.items() if key not in _OWN}
    if "pipeline_version_reference" not in recurring and "pipeline_version_id" not in recurring:
        told["pipeline_spec"] = shown_spec(emulator.documents, recurring["spec"])
    return told


def _get(emulator: Emulator, call: Call) -> Document:
    doing = "Failed to fetch a recurring run"
    return _shown(emulator, get(emulator.documents, RECURRING, call.params["recurring"], doing))


def _list(emulator: Emulator, call: Call) -> Document:
    documents, experiment = emulator.documents, call.one("experiment_id")
    if experiment:
        get(documents, EXPERIMENT, experiment, "Failed to list recurring runs")
    found = [one for one in documents.list(RECURRING, experiment or None) if in_namespace(one, call.one("namespace"))]
    return listed(call, found, "recurringRuns", _FIELDS, lambda one: _shown(emulator, one))


def _enable(emulator: Emulator, call: Call) -> Document:
    return _set_mode(emulator, call.params["recurring"], "ENABLE", "Failed to enable a recurring run")


def _disable(emulator: Emulator, call: Call) -> Document:
    return _set_mode(emulator, call.params["recurring"], "DISABLE", "Failed to disable a recurring run")


def _set_mode(emulator: Emulator, id: str, mode: str, doing: str) -> Document:
    get(emulator.documents, RECURRING, id, doing)
    news = {"mode": mode, "status": _MODES[mode], "updated_at": now()}
    emulator.documents.change(RECURRING, id, lambda found: {**found, **news})
    emulator.clock.wake()
    return {}


def _delete(emulator: Emulator, call: Call) -> Document:
    """The runs that it made stay."""
    get(emulator.documents, RECURRING, call.params["recurring"], "Failed to delete a recurring run")
    emulator.documents.delete(RECURRING, call.params["recurring"])
    return {}


_ALL, _ONE = f"{BASE}/recurringruns", f"{BASE}/recurringruns/{{recurring}}"
ROUTES = (
    Route("POST", _ALL, _create, "kfp.Client.create_recurring_run"),
    Route("GET", _ALL, _list, "kfp.Client.list_recurring_runs"),
    Route("GET", _ONE, _get, "kfp.Client.get_recurring_run"),
    Route("DELETE", _ONE, _delete, "kfp.Client.delete_recurring_run, kfp.Client.delete_job"),
    Route("POST", f"{_ONE}:enable", _enable, "kfp.Client.enable_recurring_run, kfp.Client.enable_job"),
    Route("POST", f"{_ONE}:disable", _disable, "kfp.Client.disable_recurring_run, kfp.Client.disable_job"),
)
