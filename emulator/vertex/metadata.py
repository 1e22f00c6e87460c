"""Vertex ML Metadata: stores of contexts, executions and artifacts, on which the SDK's experiments rest.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.metadataStores

The store named `default` is there from the start, as it is in a project that was used before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.emulator import filters, masks
from headrace.emulator.documents import Document, now
from headrace.emulator.paging import ordered, page
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Handler, Route, refused
from headrace.emulator.vertex import metadata_graph as graph
from headrace.emulator.vertex import metadata_nodes as nodes
from headrace.emulator.vertex.metadata_nodes import ARTIFACT, COLLECTIONS, CONTEXT, EXECUTION, full_name, store_name
from headrace.emulator.vertex.names import LOCATION, invalid, location

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_STORE = "MetadataStore"
_DEFAULT = "default"
_MOST_SHOWN = 100  # names in the sample of a purge


def record(
    emulator: Emulator,
    parent: str,
    *,
    contexts: Sequence[Document],
    executions: Sequence[Document],
    artifacts: Sequence[Document],
    events: Sequence[Document],
    children: Sequence[tuple[str, str]],
) -> None:
    """Brings a location's default store up to what a job has done.

    What clients gave of these resources beside (other parents of a context, labels, metadata) stays.

    Args:
        emulator: whose.
        parent: `projects/P/locations/L`.
        contexts: whole resources; executions and artifacts belong to each of them.
        executions, artifacts: whole resources.
        events: each with `execution`, `artifact` and `type`.
        children: pairs of names of contexts, the parent first.
    """
    with emulator.documents.transaction():
        store = _store(emulator, f"{parent}/metadataStores/{_DEFAULT}")
        for kind, several in ((CONTEXT, contexts), (EXECUTION, executions), (ARTIFACT, artifacts)):
            for one in several:
                _record(emulator, kind, store["name"], one)
        for above, child in children:
            graph.adopt(emulator, above, child)
        for context in contexts:
            graph.add_members(emulator, context["name"], [one["name"] for one in (*executions, *artifacts)])
        graph.add_events(emulator, events)


def _record(emulator: Emulator, kind: str, store: str, given: Document) -> None:
    name = given["name"]
    found = emulator.documents.find(kind, name)
    if found is None:
        new = nodes.made(kind, name, given)
        new |= {field: value for field, value in given.items() if field in ("createTime", "parentContexts")}
        emulator.documents.create(kind, name, new, store)
        return
    metadata: Document = {**found["metadata"], **given.get("metadata", {})}
    sent = {field: given[field] for field in nodes.CHANGEABLE[kind] if field in given}
    merged: Document = {**found, **sent, "metadata": metadata}
    if merged != found:
        emulator.documents.change(kind, name, lambda before: nodes.changed(merged, before))


def _store(emulator: Emulator, name: str) -> Document:
    found = emulator.documents.find(_STORE, name)
    if found is None and name.endswith(f"/{_DEFAULT}"):
        with emulator.documents.transaction():
            return emulator.documents.find(_STORE, name) or _new_store(emulator, name, {})
    if found is None:
        raise Refusal("NOT_FOUND", f"The {_STORE} does not exist: {name}")
    return found


def _new_store(emulator: Emulator, name: str, sent: Document) -> Document:
    moment = now()
    kept: Document = {field: sent[field] for field in ("description", "encryptionSpec") if field in sent}
    body: Document = {"name": name, **kept, "createTime": moment, "updateTime": moment, "state": {}}
    return emulator.documents.create(_STORE, name, body, name.partition("/metadataStores/")[0])


def _create_store(emulator: Emulator, call: Call) -> Document:
    name = f"{location(call)}/metadataStores/{nodes.checked_id('metadata_store', call.one('metadataStoreId'))}"
    with emulator.documents.transaction():
        store = _new_store(emulator, name, call.json)
        return emulator.operations.done(
            name, _STORE, store, metadata="CreateMetadataStoreOperationMetadata", version=call.version
        )


def _get_store(emulator: Emulator, call: Call) -> Document:
    return _store(emulator, store_name(call))


def _list_stores(emulator: Emulator, call: Call) -> Document:
    _store(emulator, f"{location(call)}/metadataStores/{_DEFAULT}")
    return _page(call, emulator.documents.list(_STORE, location(call)), "metadataStores")


def _delete_store(emulator: Emulator, call: Call) -> Document:
    name = store_name(call)
    with emulator.documents.transaction():
        emulator.documents.delete(_STORE, name)
        for kind in COLLECTIONS:
            for one in emulator.documents.list(kind, name):
                _remove(emulator, kind, one["name"])
        return emulator.operations.done(
            name,
            "google.protobuf.Empty",
            {},
            metadata="DeleteMetadataStoreOperationMetadata",
            version=call.version,
        )


def _remove(emulator: Emulator, kind: str, name: str) -> None:
    graph.unlink(emulator, kind, name)
    emulator.documents.delete(kind, name)


def _page(call: Call, found: list[Document], field: str) -> Document:
    shown, following = page(ordered(found, call.one("orderBy")), call.one("pageSize"), call.one("pageToken"))
    return {field: shown, **({"nextPageToken": following} if following else {})}


def _matching(emulator: Emulator, kind: str, store: str, text: str) -> list[Document]:
    fields: dict[str, filters.Field] = {}
    if kind == CONTEXT:
        fields = dict.fromkeys(("child_contexts", "childContexts"), lambda one: graph.children(emulator, one))
    wanted = filters.predicate(text, fields, graph.functions(emulator) if kind != CONTEXT else {})
    return [one for one in emulator.documents.list(kind, store) if wanted(one)]


def _creates(kind: str) -> Handler:
    def create(emulator: Emulator, call: Call) -> Document:
        return _created(emulator, kind, call, call.one(f"{kind.lower()}Id"))

    return create


def _created(emulator: Emulator, kind: str, call: Call, id: str) -> Document:
    sent = nodes.checked(kind, call.json)
    id = nodes.checked_id(kind, id)
    with emulator.documents.transaction():
        store = _store(emulator, store_name(call))
        name = f"{store['name']}/{COLLECTIONS[kind]}/{id}"
        new = nodes.made(kind, name, sent)
        if kind == CONTEXT and (parents := sent.get("parentContexts")):
            for parent in parents:
                emulator.documents.get(CONTEXT, parent)
            new["parentContexts"] = list(dict.fromkeys(parents))
        return emulator.documents.create(kind, name, new, store["name"])


def _gets(kind: str) -> Handler:
    def get(emulator: Emulator, call: Call) -> Document:
        return emulator.documents.get(kind, full_name(call, kind))

    return get


def _lists(kind: str) -> Handler:
    def listed(emulator: Emulator, call: Call) -> Document:
        store = _store(emulator, store_name(call))
        return _page(call, _matching(emulator, kind, store["name"], call.one("filter")), COLLECTIONS[kind])

    return listed


def _updates(kind: str) -> Handler:
    def update(emulator: Emulator, call: Call) -> Document:
        sent, name = nodes.checked(kind, call.json), full_name(call, kind)

        def updated(found: Document) -> Document:
            nodes.check_etag(kind, found, str(sent.get("etag", "")))
            after = masks.update(found, sent, call.one("updateMask"), nodes.CHANGEABLE[kind])
            return nodes.changed({**after, "metadata": after.get("metadata", {})}, found)

        with emulator.documents.transaction():
            if call.one("allowMissing").lower() == "true" and emulator.documents.find(kind, name) is None:
                return _created(emulator, kind, call, call.params["id"])
            return emulator.documents.change(kind, name, updated)

    return update


def _deletes(kind: str) -> Handler:
    def delete(emulator: Emulator, call: Call) -> Document:
        name = full_name(call, kind)
        with emulator.documents.transaction():
            found = emulator.documents.get(kind, name)
            nodes.check_etag(kind, found, call.one("etag"), "FAILED_PRECONDITION")
            _remove(emulator, kind, name)
            return emulator.operations.done(
                name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
            )

    return delete


def _purges(kind: str) -> Handler:
    def purge(emulator: Emulator, call: Call) -> Document:
        body = call.json
        if not str(body.get("filter", "")).strip():
            raise invalid("filter: expected one: a purge removes what it matches")
        plural = COLLECTIONS[kind].capitalize()
        with emulator.documents.transaction():
            store = _store(emulator, store_name(call))
            names = [one["name"] for one in _matching(emulator, kind, store["name"], str(body["filter"]))]
            told: Document = {"purgeCount": str(len(names))}
            if body.get("force"):
                for name in names:
                    _remove(emulator, kind, name)
            else:
                told["purgeSample"] = names[:_MOST_SHOWN]
            return emulator.operations.done(
                store["name"], f"Purge{plural}Response", told, metadata=f"Purge{plural}Metadata", version=call.version
            )

    return purge


_STORES = f"{LOCATION}/metadataStores"
_ONE = f"{_STORES}/{{store}}"
_BESIDE = {  # which of the SDK's calls need these methods too
    (CONTEXT, "create"): "Experiment.create, ExperimentRun.create, init(experiment=), start_run",
    (CONTEXT, "get"): "Experiment.get, ExperimentRun.get, get_experiment",
    (CONTEXT, "list"): "Experiment.list, ExperimentRun.list, get_experiment_df, ExperimentRun.get_logged_pipeline_jobs",
    (CONTEXT, "update"): "log_params, log_metrics, end_run, ExperimentRun.update_state",
    (CONTEXT, "delete"): "Experiment.delete, ExperimentRun.delete",
    (EXECUTION, "create"): "start_execution",
    (EXECUTION, "list"): "Context.get_executions, ExperimentRun.get_executions",
    (EXECUTION, "update"): "Execution.__exit__",
    (ARTIFACT, "create"): "log_classification_metrics, log_model",
    (ARTIFACT, "list"): "Artifact.get_with_uri, Context.get_artifacts, ExperimentRun.get_classification_metrics",
}


def _of_kind(kind: str) -> tuple[Route, ...]:
    collection = f"{_ONE}/{COLLECTIONS[kind]}"
    several: tuple[tuple[str, str, str, Handler], ...] = (
        ("POST", collection, "create", _creates(kind)),
        ("GET", collection, "list", _lists(kind)),
        ("POST", f"{collection}:purge", "purge", _purges(kind)),
        ("GET", f"{collection}/{{id}}", "get", _gets(kind)),
        ("PATCH", f"{collection}/{{id}}", "update", _updates(kind)),
        ("DELETE", f"{collection}/{{id}}", "delete", _deletes(kind)),
    )
    return tuple(
        Route(method, template, handler, ", ".join(filter(None, (f"{kind}.{verb}", _BESIDE.get((kind, verb))))))
        for method, template, verb, handler in several
    )


_CONTEXT, _EXECUTION, _ARTIFACT = (f"{_ONE}/{COLLECTIONS[kind]}/{{id}}" for kind in (CONTEXT, EXECUTION, ARTIFACT))
_SCHEMAS, _NO_SCHEMAS = f"{_ONE}/metadataSchemas", "it takes every schema title, and checks metadata against none"
ROUTES = (
    Route("POST", _STORES, _create_store, "metadata_store.create"),
    Route("GET", _STORES, _list_stores, "metadata_store.list"),
    Route("GET", _ONE, _get_store, "metadata_store.get, init(experiment=)"),
    Route("DELETE", _ONE, _delete_store, "metadata_store.delete"),
    *(route for kind in COLLECTIONS for route in _of_kind(kind)),
    Route(
        "POST",
        f"{_CONTEXT}:addContextArtifactsAndExecutions",
        graph.add_to_context,
        "Context.add_artifacts_and_executions, ExperimentRun.associate_execution",
    ),
    Route(
        "POST",
        f"{_CONTEXT}:addContextChildren",
        graph.add_children,
        "Context.add_context_children, ExperimentRun.log, PipelineJob.submit(experiment=)",
    ),
    Route("POST", f"{_CONTEXT}:removeContextChildren", graph.remove_children, "Context.remove_context_children"),
    Route("GET", f"{_CONTEXT}:queryContextLineageSubgraph", graph.of_context, "Context.query_lineage_subgraph"),
    Route(
        "POST",
        f"{_EXECUTION}:addExecutionEvents",
        graph.add_events_to,
        "Execution.assign_input_artifacts, Execution.assign_output_artifacts",
    ),
    Route(
        "GET",
        f"{_EXECUTION}:queryExecutionInputsAndOutputs",
        graph.of_execution,
        "Execution.get_input_artifacts, Execution.get_output_artifacts",
    ),
    Route("GET", f"{_ARTIFACT}:queryArtifactLineageSubgraph", graph.of_artifact, "Artifact.query_lineage_subgraph"),
    refused("POST", _SCHEMAS, "metadata_schema.create", _NO_SCHEMAS),
    refused("GET", _SCHEMAS, "metadata_schema.list", _NO_SCHEMAS),
    refused("GET", f"{_SCHEMAS}/{{id}}", "metadata_schema.get", _NO_SCHEMAS),
)
