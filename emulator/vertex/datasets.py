"""Vertex AI's tabular datasets: names for files in Cloud Storage.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.datasets
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.emulator import filters, masks
from headrace.emulator.documents import Document, stamped
from headrace.emulator.paging import ordered, page
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route, refused
from headrace.emulator.storage import places
from headrace.emulator.vertex.names import LOCATION, check_labels, invalid, location, new_id, required

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_KIND = "Dataset"
_TABULAR = ("tabular_1.0.0.yaml", "time_series_1.0.0.yaml")  # of gs://google-cloud-aiplatform/schema/dataset/metadata
_CHANGEABLE = ("displayName", "description", "labels")
_FIXED = ("metadataSchemaUri", "metadata", "encryptionSpec")


def _create(emulator: Emulator, call: Call) -> Document:
    sent = call.json
    required(sent, "displayName", "dataset")
    check_labels(sent)
    _check_source(required(sent, "metadataSchemaUri", "dataset"), sent.get("metadata"))
    kept = {field: sent[field] for field in (*_CHANGEABLE, *_FIXED) if field in sent}
    body = stamped({"name": f"{location(call)}/datasets/{new_id()}", **kept})
    with emulator.documents.transaction():
        emulator.documents.create(_KIND, body["name"], body, location(call))
        return emulator.operations.done(
            body["name"], _KIND, body, metadata="CreateDatasetOperationMetadata", version=call.version
        )


def _check_source(schema: str, metadata: Any) -> None:
    """Only files in Cloud Storage can be named.

    Raises:
        Refusal: UNIMPLEMENTED: pictures, texts, videos, BigQuery; INVALID_ARGUMENT: the source is none.
    """
    if schema.rpartition("/")[2] not in _TABULAR:
        raise Refusal("UNIMPLEMENTED", f"Dataset.create: the emulator serves tabular datasets. Received: {schema:.200}")
    source = (metadata.get("inputConfig") if isinstance(metadata, dict) else None) or {}
    if not isinstance(source, dict) or not isinstance(source.get("gcsSource") or {}, dict):
        raise invalid(f"metadata.inputConfig: expected an object. Received: {source!r:.200}")
    if "bigquerySource" in source:
        raise Refusal("UNIMPLEMENTED", "TabularDataset.create(bq_source=): the emulator has no BigQuery; gs:// serves")
    uris = (source.get("gcsSource") or {}).get("uri", [])
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise invalid(f"metadata.inputConfig.gcsSource.uri: expected a list of gs://. Received: {uris!r:.200}")
    for uri in uris:
        places.split(uri)


def _get(emulator: Emulator, call: Call) -> Document:
    return emulator.documents.get(_KIND, _name(call))


def _list(emulator: Emulator, call: Call) -> Document:
    wanted = filters.predicate(call.one("filter"))
    found = [one for one in emulator.documents.list(_KIND, location(call)) if wanted(one)]
    some, following = page(ordered(found, call.one("orderBy")), call.one("pageSize"), call.one("pageToken"))
    mask = ",".join(call.query.get("readMask", []))
    shown = [masks.read(one, mask) for one in some]
    return {"datasets": shown, **({"nextPageToken": following} if following else {})}


def _update(emulator: Emulator, call: Call) -> Document:
    sent = call.json
    check_labels(sent)

    def updated(found: Document) -> Document:
        after = masks.update(found, sent, call.one("updateMask"), _CHANGEABLE)
        required(after, "displayName", "dataset")
        return stamped(after, found)

    return emulator.documents.change(_KIND, _name(call), updated, str(sent.get("etag", "")))


def _delete(emulator: Emulator, call: Call) -> Document:
    with emulator.documents.transaction():
        name = emulator.documents.delete(_KIND, _name(call))["name"]
        return emulator.operations.done(
            name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
        )


def _name(call: Call) -> str:
    return f"{location(call)}/datasets/{call.params['dataset']}"


_ALL = f"{LOCATION}/datasets"
_ONE = f"{_ALL}/{{dataset}}"
_FILES = "a tabular dataset is its files in Cloud Storage; read those"
_VERSIONS = "it keeps no versions of datasets"
ROUTES = (
    Route("POST", _ALL, _create, "TabularDataset.create, TimeSeriesDataset.create"),
    Route("GET", _ALL, _list, "TabularDataset.list"),
    Route("GET", _ONE, _get, "TabularDataset.get, TabularDataset.column_names"),
    Route("PATCH", _ONE, _update, "TabularDataset.update"),
    Route("DELETE", _ONE, _delete, "TabularDataset.delete"),
    refused("POST", f"{_ONE}:import", "Dataset.import_data", _FILES),
    refused("POST", f"{_ONE}:export", "Dataset.export_data", _FILES),
    refused("POST", f"{_ONE}/datasetVersions", "DatasetServiceClient.create_dataset_version", _VERSIONS),
    refused("GET", f"{_ONE}/datasetVersions", "DatasetServiceClient.list_dataset_versions", _VERSIONS),
)
