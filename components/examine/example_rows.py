"""Which rows an anomaly is about: TFDV tells the share, people want to look at some.

Arrow is imported where there is an anomaly: mostly there is none, and the import is half of what this step takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.findings import MOST_EXAMPLES, Finding

if TYPE_CHECKING:
    import pyarrow as pa
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

_ROWS = 100_000
_SHOWN = 60
Wrong = Callable[[Any], Any]  # a column to a mask of the rows that an anomaly is about


def with_examples(
    found: list[Finding], anomalies: anomalies_pb2.Anomalies, schema: schema_pb2.Schema, snapshot: Dataset
) -> list[Finding]:
    """The same findings, with up to five rows each where single rows are wrong."""
    features = {feature.name: feature for feature in schema.feature}
    present = {column.name for column in snapshot.info.columns}
    result = []
    for finding in found:
        feature = features.get(finding.where)
        wrong = _wrong(anomalies.anomaly_info[finding.where], feature, schema) if feature is not None else None
        if wrong is not None and finding.where in present:
            examples = find_rows(snapshot, finding.where, wrong)
            finding = replace(finding, examples=examples)
        result.append(finding)
    return result


def find_rows(snapshot: Dataset, name: str, wrong: Wrong) -> list[str]:
    """The first rows that a mask of a column marks, by id; without an id by number and value."""
    import pyarrow.compute as pc

    found: list[str] = []
    id = snapshot.info.id
    for split, start, batch in _batches(snapshot, [name] if id in (None, name) else [name, id]):
        column = batch.column(batch.schema.get_field_index(name))
        mask = pc.fill_null(wrong(column), False)
        for index in pc.indices_nonzero(mask).to_pylist()[: MOST_EXAMPLES - len(found)]:
            if id is None:
                value = str(column[index].as_py())
                shown = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
                found.append(f"{split} row {start + index + 1} ({name}={shown})")
            else:
                found.append(str(batch.column(batch.schema.get_field_index(id))[index].as_py()))
        if len(found) >= MOST_EXAMPLES:
            break
    return found


def _batches(snapshot: Dataset, columns: list[str]) -> Iterator[tuple[str, int, pa.RecordBatch]]:
    import pyarrow.parquet as pq

    for split in SPLITS:
        start = 0
        for batch in pq.ParquetFile(snapshot.file(split)).iter_batches(batch_size=_ROWS, columns=columns):
            yield split, start, batch
            start += batch.num_rows


def _wrong(info: anomalies_pb2.AnomalyInfo, feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> Wrong | None:
    """The mask for the first kind of anomaly that single rows can be blamed for."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    from headrace.components.examine import wrong_rows

    kinds = {anomalies_pb2.AnomalyInfo.Type.Name(reason.type) for reason in info.reason}
    if "ENUM_TYPE_UNEXPECTED_STRING_VALUES" in kinds:
        listed = _listed(feature, schema)
        return lambda column: wrong_rows.unlisted(column, listed)
    if any(kind.endswith(("SMALL_INT", "BIG_INT", "SMALL_FLOAT", "BIG_FLOAT")) for kind in kinds):
        low, high = _bounds(feature)
        return lambda column: wrong_rows.outside(column, low, high)
    if any(kind.startswith("FEATURE_TYPE_LOW") for kind in kinds):
        return wrong_rows.missing
    return None


def _listed(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> list[str]:
    if feature.WhichOneof("domain_info") == "string_domain":
        return list(feature.string_domain.value)
    return next((list(domain.value) for domain in schema.string_domain if domain.name == feature.domain), [])


def _bounds(feature: schema_pb2.Feature) -> tuple[float, float]:
    domain = feature.WhichOneof("domain_info")
    if domain == "bool_domain":
        return 0, 1
    bounds = getattr(feature, domain) if domain in ("int_domain", "float_domain") else None
    low = bounds.min if bounds is not None and bounds.HasField("min") else float("-inf")
    high = bounds.max if bounds is not None and bounds.HasField("max") else float("inf")
    return low, high
