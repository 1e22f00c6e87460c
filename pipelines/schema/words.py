"""A schema for people: as a table, and two of them held side by side."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.pipelines.schema.edit import values_of
from headrace.pipelines.schema.text import by_name

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

_MOST_SHOWN = 6


@dataclass(frozen=True)
class Row:
    """What a schema asks of a feature, in words; blank where it asks nothing."""

    feature: str
    type: str
    presence: str
    values: str
    compared: str
    environments: str
    stage: str


HEAD = ("Feature", "Type", "Present", "Values", "Compared", "Environments", "Stage")


def row(feature: schema_pb2.Feature, schema: schema_pb2.Schema, most: int | None = _MOST_SHOWN) -> Row:
    """A feature in words; of a domain at most `most` values."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    environments = [*feature.in_environment] or [
        environment for environment in schema.default_environment if environment not in feature.not_in_environment
    ]
    all_of_them = set(environments) == set(schema.default_environment)
    stage = schema_pb2.LifecycleStage.Name(feature.lifecycle_stage) if feature.lifecycle_stage else ""
    return Row(
        feature.name,
        schema_pb2.FeatureType.Name(feature.type),
        _presence(feature),
        _values(feature, schema, most),
        ", ".join(_compared(feature)),
        "" if all_of_them else "only " + ", ".join(environments) if environments else "none",
        "" if stage == "UNKNOWN_STAGE" else stage.lower(),
    )


def table(schema: schema_pb2.Schema) -> list[str]:
    """A schema as the lines of a table; columns in which nothing stands are left out."""
    rows = [dataclasses.astuple(row(feature, schema)) for feature in schema.feature]
    kept = [index for index in range(len(HEAD)) if any(cells[index] for cells in rows)]
    lines = [[HEAD[index] for index in kept], *([cells[index] for index in kept] for cells in rows)]
    widths = [max(len(cells[index]) for cells in lines) for index in range(len(kept))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in lines]


def differences(old: schema_pb2.Schema, new: schema_pb2.Schema) -> list[str]:
    """What is different in another schema, a line for each feature and setting."""
    before, after = by_name(old), by_name(new)
    lines = [f"- {name}: no longer in the schema" for name in before if name not in after]
    lines += [f"+ {name}: {_summary(after[name], new)}" for name in after if name not in before]
    for name in (name for name in before if name in after):
        one, other = row(before[name], old, None), row(after[name], new, None)
        for index, field in enumerate(dataclasses.fields(Row)):
            was, now = getattr(one, field.name), getattr(other, field.name)
            if was != now and field.name == "values":
                lines.append(f"~ {name}: {_changed_values(before[name], old, after[name], new) or _change(was, now)}")
            elif was != now:
                lines.append(f"~ {name}: {HEAD[index].lower()}: {_change(was, now)}")
    return lines


def _change(was: str, now: str) -> str:
    return f"{was or 'nothing asked'} -> {now or 'nothing asked'}"


def _changed_values(
    before: schema_pb2.Feature, old: schema_pb2.Schema, after: schema_pb2.Feature, new: schema_pb2.Schema
) -> str:
    was, now = values_of(old, before), values_of(new, after)
    if not was or not now or set(was) == set(now):
        return ""
    gone, come = [v for v in was if v not in now], [v for v in now if v not in was]
    return "; ".join(
        [f"values added: {', '.join(come)}"] * bool(come) + [f"values removed: {', '.join(gone)}"] * bool(gone)
    )


def _summary(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> str:
    found = row(feature, schema)
    return ", ".join(text for text in (found.type, found.presence, found.values, found.compared, found.stage) if text)


def _presence(feature: schema_pb2.Feature) -> str:
    presence = feature.presence
    if presence.min_fraction == 1:
        return "always"
    if presence.min_fraction:
        return f"{presence.min_fraction:.4g} of rows"
    return "somewhere" if presence.min_count else ""


def _values(feature: schema_pb2.Feature, schema: schema_pb2.Schema, most: int | None) -> str:
    from tensorflow_metadata.proto.v0 import schema_pb2

    kind = feature.WhichOneof("domain_info")
    if kind in ("int_domain", "float_domain"):
        domain = getattr(feature, kind)
        ends = [
            f"{domain.min:.15g}" if domain.HasField("min") else "",
            f"{domain.max:.15g}" if domain.HasField("max") else "",
        ]
        return ":".join(ends)
    if kind == "bool_domain":
        return "true, false"
    if kind == "time_domain":
        return str(schema_pb2.TimeDomain.IntegerTimeFormat.Name(feature.time_domain.integer_format)).lower()
    values = values_of(schema, feature)
    shown = ", ".join(values[:most])
    more = f", ... ({len(values)})" if most is not None and len(values) > most else ""
    mass = feature.distribution_constraints.min_domain_mass
    tolerated = f" ({mass:.4g} of rows)" if values and feature.HasField("distribution_constraints") and mass < 1 else ""
    return shown + more + tolerated


def _compared(feature: schema_pb2.Feature) -> list[str]:
    found = []
    for name in ("drift", "skew"):
        if feature.HasField(f"{name}_comparator"):
            comparator = getattr(feature, f"{name}_comparator")
            threshold = max(comparator.infinity_norm.threshold, comparator.jensen_shannon_divergence.threshold)
            found.append(f"{name} {threshold:g}")
    return found
