"""The versions of models: which one a reference names, its aliases, and what clients are shown of it.

A document of the kind `Model` has the number of the newest version; those of the kind `ModelVersion` are the resources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from headrace.emulator import filters, masks
from headrace.emulator.documents import Document, now, stamped
from headrace.emulator.paging import ordered, page
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex import deployments, model_files
from headrace.emulator.vertex.names import LOCATION, check_labels, invalid, location

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

MODEL, VERSION = "Model", "ModelVersion"
DEFAULT = "default"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_OF_MODEL = ("displayName", "description")  # what an update changes of all versions
_OF_VERSION = ("versionDescription", "labels", "metadata", "pipelineJob", "predictSchemata", "explanationSpec")


def model_name(call: Call) -> tuple[str, str]:
    """A request's model, `projects/P/locations/L/models/M`, and the version or alias behind its `@`; empty for none."""
    id, _, reference = call.params["model"].partition("@")
    return f"{location(call)}/models/{id}", reference


def split(reference: str) -> tuple[str, str]:
    """`projects/P/locations/L/models/M@1` as a model's name and what stands behind the `@`."""
    name, _, version = reference.removeprefix("/").partition("@")
    return name, version


def find(emulator: Emulator, model: str, reference: str = "") -> Document:
    """A version.

    Args:
        emulator: whose.
        model: its full name.
        reference: a number or an alias; empty or `-` for the default one.

    Raises:
        Refusal: NOT_FOUND.
    """
    wanted = DEFAULT if reference in ("", "-") else reference
    if wanted.isdigit():
        found = emulator.documents.find(VERSION, f"{model}@{wanted}")
    else:
        found = next((one for one in of_model(emulator, model) if wanted in one["versionAliases"]), None)
    if found is None:
        told = f"{model}@{reference}" if reference else model
        raise Refusal("NOT_FOUND", f"The Model does not exist: {told}")
    return found


def of_model(emulator: Emulator, model: str) -> list[Document]:
    """All versions of a model, the oldest first."""
    return emulator.documents.list(VERSION, model)[::-1]


def full_name(version: Document) -> str:
    """`projects/P/locations/L/models/M@1`."""
    return f"{version['name']}@{version['versionId']}"


def add(emulator: Emulator, model: str, body: Document, aliases: Iterable[str], files: str) -> Document:
    """A model's next version, within a transaction; with it the model, where it is the first.

    Args:
        emulator: whose.
        model: its full name.
        body: the resource's fields that the client gave.
        aliases: that it takes, from others that have them.
        files: as `model_files.keep` returned.
    """
    documents = emulator.documents
    known = documents.find(MODEL, model)
    number = known["newest"] + 1 if known else 1
    if known:
        documents.change(MODEL, model, lambda found: {**found, "newest": number})
    else:
        documents.create(
            MODEL, model, {"name": model, "newest": number, "createTime": now()}, model.rpartition("/models/")[0]
        )
    taken = dict.fromkeys([*aliases, *(() if known else (DEFAULT,))])
    _take_aliases(emulator, model, taken)
    version = stamped(body)
    moment = version["createTime"]
    version |= {
        "name": model,
        "versionId": str(number),
        "versionAliases": list(taken),
        "versionCreateTime": moment,
        "versionUpdateTime": moment,
        "createTime": known["createTime"] if known else moment,
    }
    documents.create(VERSION, f"{model}@{number}", version, model)
    model_files.write_down(emulator, f"{model}@{number}", files)
    return version


def check_aliases(aliases: Any) -> list[str]:
    """Aliases for a version.

    Raises:
        Refusal: one is none.
    """
    for alias in aliases if isinstance(aliases, list) else [aliases]:
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            raise invalid(f"version_aliases: expected to match {_ALIAS.pattern}. Received: {alias!r:.200}")
    return list(aliases)


def shown(emulator: Emulator, version: Document) -> Document:
    """A version as clients see it: with where it is deployed."""
    name = full_name(version)
    there = [
        one for one in deployments.all_of(emulator) if one["model"] == name and one["state"] == deployments.SERVING
    ]
    refs = [{"endpoint": one["endpoint"], "deployedModelId": one["id"]} for one in there]
    return {**version, **({"deployedModels": refs} if refs else {})}


def _take_aliases(emulator: Emulator, model: str, aliases: Iterable[str]) -> None:
    """From the versions that have them. An alias is no content: etags stay."""
    wanted = set(aliases)
    for one in of_model(emulator, model):
        if wanted & set(one["versionAliases"]):
            left = [alias for alias in one["versionAliases"] if alias not in wanted]
            _replace(emulator, {**one, "versionAliases": left})


def _replace(emulator: Emulator, version: Document) -> Document:
    return emulator.documents.change(VERSION, full_name(version), lambda _: version)


def _get(emulator: Emulator, call: Call) -> Document:
    return shown(emulator, find(emulator, *model_name(call)))


def _list(emulator: Emulator, call: Call) -> Document:
    name, _ = model_name(call)
    emulator.documents.get(MODEL, name)
    fitting = filters.predicate(call.one("filter"))
    found = ordered([one for one in of_model(emulator, name) if fitting(one)], call.one("orderBy"))
    some, following = page(found, call.one("pageSize"), call.one("pageToken"))
    mask = ",".join(call.query.get("readMask", []))
    models = [masks.read(shown(emulator, one), mask) for one in some]
    return {"models": models, **({"nextPageToken": following} if following else {})}


def _merge_aliases(emulator: Emulator, call: Call) -> Document:
    name, reference = model_name(call)
    changes = call.json.get("versionAliases") or []
    if not isinstance(changes, list) or not all(isinstance(one, str) for one in changes):
        raise invalid(f"version_aliases: expected a list of texts. Received: {changes!r:.200}")
    gone = [one[1:] for one in changes if one.startswith("-")]
    new = check_aliases([one for one in changes if not one.startswith("-")])
    with emulator.documents.transaction():
        version = find(emulator, name, reference)
        if missing := [one for one in gone if one not in version["versionAliases"]]:
            raise invalid(f"version_aliases: expected those of version {version['versionId']}. Received: {missing}")
        if DEFAULT in gone:
            raise invalid("version_aliases: the alias `default` can be given to another version, and not removed")
        _take_aliases(emulator, name, new)
        version = find(emulator, name, version["versionId"])
        kept = [alias for alias in version["versionAliases"] if alias not in gone]
        after = {**version, "versionAliases": [*kept, *dict.fromkeys(new)], "versionUpdateTime": now()}
        return shown(emulator, _replace(emulator, after))


def _update(emulator: Emulator, call: Call) -> Document:
    """What is the model's own changes in all of its versions; the rest in one.

    That one is named by the address, else by the body, which the client's library sends whole.
    """
    name, reference = model_name(call)
    wanted = call.json
    mask = call.one("updateMask")
    changed = {path[0] for path in masks.paths(mask)} or set(wanted) - {"name", "etag"}
    if unknown := changed - set(_OF_MODEL) - set(_OF_VERSION):
        raise invalid(f"update_mask: cannot be updated: {', '.join(sorted(unknown))}")
    check_labels(wanted)
    with emulator.documents.transaction():
        version = find(emulator, name, reference or str(wanted.get("versionId", "")))
        etag = wanted.get("etag")
        if etag and etag != version["etag"]:
            raise Refusal("ABORTED", f"The etag is not the resource's own: it was changed meanwhile. Received: {etag}")
        for one in of_model(emulator, name):
            fields = changed if one["versionId"] == version["versionId"] else changed & set(_OF_MODEL)
            if fields:
                after = stamped(masks.update(one, wanted, ",".join(sorted(_masked(mask, fields)))), one)
                _replace(emulator, {**after, "versionUpdateTime": after["updateTime"]})
        return shown(emulator, find(emulator, name, version["versionId"]))


def _masked(mask: str, fields: set[str]) -> set[str]:
    """The paths of a mask that begin with some fields; those fields where there is no mask."""
    found = {".".join(path) for path in masks.paths(mask) if path[0] in fields}
    return found or fields


def _delete(emulator: Emulator, call: Call) -> Document:
    name, reference = model_name(call)
    with emulator.documents.transaction():
        version = find(emulator, name, reference)
        if len(of_model(emulator, name)) == 1:
            raise Refusal("FAILED_PRECONDITION", f"The only version of {name} cannot be deleted; delete the model.")
        if DEFAULT in version["versionAliases"]:
            raise Refusal(
                "FAILED_PRECONDITION", f"{full_name(version)} is the default version: make another one that first."
            )
        deployments.require_none(emulator, [full_name(version)])
        files = model_files.of(emulator, full_name(version))
        remove(emulator, version)
        done = emulator.operations.done(
            name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
        )
    model_files.remove(files)
    return done


def remove(emulator: Emulator, version: Document) -> None:
    """A version, within a transaction, and what belongs to it."""
    name = full_name(version)
    emulator.documents.delete(VERSION, name)
    model_files.forget(emulator, name)
    for kind in ("ModelEvaluation", "ModelEvaluationSlice"):
        for one in emulator.documents.list(kind):
            if one["name"].startswith(f"{version['name']}/") and one["modelVersion"] == name:
                emulator.documents.delete(kind, one["name"])


_MODEL = f"{LOCATION}/models/{{model}}"
ROUTES = (
    Route("GET", _MODEL, _get, "Model, ModelRegistry.get_model, ModelRegistry.get_version_info"),
    Route("PATCH", _MODEL, _update, "Model.update, ModelRegistry.update_version"),
    Route("GET", f"{_MODEL}:listVersions", _list, "ModelRegistry.list_versions"),
    Route(
        "POST",
        f"{_MODEL}:mergeVersionAliases",
        _merge_aliases,
        "ModelRegistry.add_version_aliases, ModelRegistry.remove_version_aliases",
    ),
    Route("DELETE", f"{_MODEL}:deleteVersion", _delete, "ModelRegistry.delete_version"),
)
