"""Evaluations of models' versions, which clients import, and their slices.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models.evaluations
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.emulator import filters, masks
from headrace.emulator.documents import Document, now
from headrace.emulator.paging import page
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex import versions
from headrace.emulator.vertex.names import LOCATION, invalid, new_id

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND, SLICE = "ModelEvaluation", "ModelEvaluationSlice"
_OURS = "modelVersion"  # a field of the documents that clients are not shown


def _import(emulator: Emulator, call: Call) -> Document:
    name, reference = versions.model_name(call)
    sent = call.json.get("modelEvaluation")
    if not isinstance(sent, dict):
        raise invalid(f"model_evaluation: expected a ModelEvaluation. Received: {sent!r:.200}")
    with emulator.documents.transaction():
        version = versions.full_name(versions.find(emulator, name, reference))
        full = f"{name}/evaluations/{new_id()}"
        kept = {**sent, "name": full, "createTime": now(), _OURS: version}
        return _shown(emulator.documents.create(KIND, full, kept, version))


def _get(emulator: Emulator, call: Call) -> Document:
    return _shown(emulator.documents.get(KIND, _name(call)))


def _list(emulator: Emulator, call: Call) -> Document:
    version = versions.full_name(versions.find(emulator, *versions.model_name(call)))
    return _page(emulator, call, KIND, version, "modelEvaluations")


def _import_slices(emulator: Emulator, call: Call) -> Document:
    above = _name(call)
    sent = call.json.get("modelEvaluationSlices") or []
    if not isinstance(sent, list) or not all(isinstance(one, dict) for one in sent):
        raise invalid(f"model_evaluation_slices: expected ModelEvaluationSlices. Received: {sent!r:.200}")
    names = []
    with emulator.documents.transaction():
        version = emulator.documents.get(KIND, above)[_OURS]
        for one in sent:
            names.append(f"{above}/slices/{new_id()}")
            kept = {**one, "name": names[-1], "createTime": now(), _OURS: version}
            emulator.documents.create(SLICE, names[-1], kept, above)
    return {"importedModelEvaluationSlices": names}


def _get_slice(emulator: Emulator, call: Call) -> Document:
    return _shown(emulator.documents.get(SLICE, f"{_name(call)}/slices/{call.params['slice']}"))


def _list_slices(emulator: Emulator, call: Call) -> Document:
    emulator.documents.get(KIND, _name(call))
    return _page(emulator, call, SLICE, _name(call), "modelEvaluationSlices")


def _page(emulator: Emulator, call: Call, kind: str, parent: str, key: str) -> Document:
    fitting = filters.predicate(call.one("filter"))
    found = [one for one in map(_shown, emulator.documents.list(kind, parent)) if fitting(one)]
    some, following = page(found, call.one("pageSize"), call.one("pageToken"))
    mask = ",".join(call.query.get("readMask", []))
    told = {"nextPageToken": following} if following else {}
    return {key: [masks.read(one, mask) for one in some], **told}


def _name(call: Call) -> str:
    model, _ = versions.model_name(call)
    return f"{model}/evaluations/{call.params['evaluation']}"


def _shown(found: Document) -> Document:
    return {name: value for name, value in found.items() if name != _OURS}


_MODEL = f"{LOCATION}/models/{{model}}"
_ONE = f"{_MODEL}/evaluations/{{evaluation}}"
ROUTES = (
    Route("POST", f"{_MODEL}/evaluations:import", _import, "ModelServiceClient.import_model_evaluation"),
    Route("GET", f"{_MODEL}/evaluations", _list, "Model.list_model_evaluations"),
    Route("GET", _ONE, _get, "Model.get_model_evaluation, ModelEvaluation"),
    Route(
        "POST", f"{_ONE}/slices:batchImport", _import_slices, "ModelServiceClient.batch_import_model_evaluation_slices"
    ),
    Route("GET", f"{_ONE}/slices", _list_slices, "ModelServiceClient.list_model_evaluation_slices"),
    Route("GET", f"{_ONE}/slices/{{slice}}", _get_slice, "ModelServiceClient.get_model_evaluation_slice"),
)
