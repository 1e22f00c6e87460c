"""Anomalies in words."""

from __future__ import annotations

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from headrace.artifacts.schema import parse_schema
from headrace.components.examine.words import expectation, findings

Info = anomalies_pb2.AnomalyInfo

SCHEMA = parse_schema(
    """
    feature { name: "a" type: FLOAT presence { min_fraction: 1 } float_domain { min: 0 max: 1.5 } }
    feature { name: "b" type: BYTES domain: "b" presence { min_fraction: 0.9 min_count: 1 } }
    feature { name: "c" type: INT bool_domain {} presence { min_count: 1 } }
    feature { name: "d" type: INT time_domain { integer_format: UNIX_DAYS } }
    feature { name: "e" type: INT time_domain { integer_format: UNIX_MICROSECONDS } }
    feature { name: "f" type: INT int_domain { max: 9 } }
    feature { name: "g" type: BYTES string_domain { value: "x" } }
    feature { name: "h" }
    feature { name: "i" type: INT int_domain { min: 1234567 max: 2000000 } }
    feature { name: "j" type: FLOAT float_domain { min: 0.1 max: 1234567.5 } }
    feature { name: "k" type: FLOAT float_domain { min: -inf max: 2e10 } }
    string_domain { name: "b" value: ["v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"] }
    """
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a", "a number, in every row, from 0 up to 1.5"),
        ("b", "text, in at least 90% of the rows, one of v1, v2, v3, v4, v5, v6, v7, v8, ... (9 values)"),
        ("c", "true or false, in some rows"),
        ("d", "a date"),
        ("e", "a timestamp"),
        ("f", "a whole number, up to 9"),
        ("g", "text, one of x"),
        ("h", "a value"),
        ("i", "a whole number, from 1234567 up to 2000000"),
        ("j", "a number, from 0.1 up to 1234567.5"),
        ("k", "a number, from -inf up to 2e+10"),
    ],
)
def test_an_expectation_is_told_in_words(name: str, words: str) -> None:
    feature = next(feature for feature in SCHEMA.feature if feature.name == name)
    assert expectation(feature, SCHEMA) == words


def anomalies(**infos: tuple[int, list[tuple[int, str]]]) -> anomalies_pb2.Anomalies:
    result = anomalies_pb2.Anomalies()
    for name, (severity, reasons) in infos.items():
        result.anomaly_info[name].severity = severity
        for kind, description in reasons:
            result.anomaly_info[name].reason.add(type=kind, description=description)
    return result


def test_a_finding_says_what_was_expected_what_was_found_and_what_to_do() -> None:
    reasons = [
        (Info.FLOAT_TYPE_BIG_FLOAT, "train: Unexpectedly high value: 2."),
        (Info.UNKNOWN_TYPE, "eval: Odd."),
    ]
    (finding,) = findings(anomalies(a=(Info.ERROR, reasons)), SCHEMA)
    assert finding.line() == (
        "a: expected a number, in every row, from 0 up to 1.5. Received: train: Unexpectedly high value: 2; "
        "eval: Odd. Correct the values, or widen the float_domain in the schema"
    )


def test_errors_come_first_in_the_order_of_the_schema_and_new_columns_last() -> None:
    found = findings(
        anomalies(
            new=(Info.ERROR, [(Info.SCHEMA_NEW_COLUMN, "train: New column.")]),
            a=(Info.WARNING, [(Info.FLOAT_TYPE_BIG_FLOAT, "train: x")]),
            g=(Info.ERROR, [(Info.SCHEMA_MISSING_COLUMN, "train: gone")]),
            b=(Info.ERROR, [(Info.SCHEMA_MISSING_COLUMN, "train: gone")]),
        ),
        SCHEMA,
    )
    assert [(finding.where, finding.level) for finding in found] == [
        ("b", "error"), ("g", "error"), ("new", "error"), ("a", "warn"),
    ]  # fmt: skip
    assert found[2].expected == "no column of this name"
    assert found[3].todo == "Tolerated by the schema."


def test_an_unknown_severity_does_not_pass() -> None:
    (finding,) = findings(anomalies(a=(Info.UNKNOWN, [(Info.UNKNOWN_TYPE, "train: odd")])), SCHEMA)
    assert finding.level == "error"
    assert finding.todo == "Put the data right, or change the feature in the schema"


def test_an_anomaly_of_the_whole_data_is_a_finding() -> None:
    whole = anomalies_pb2.Anomalies()
    whole.dataset_anomaly_info.severity = Info.ERROR
    whole.dataset_anomaly_info.reason.add(type=Info.NO_DATA_IN_SPAN, description="eval: The split has no rows")
    (finding,) = findings(whole, SCHEMA)
    assert finding.line().startswith("(all rows): expected")
    assert "eval: The split has no rows" in finding.line()
