"""The schema: its file beside a spec, its sealed folder, and what is refused."""

from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.schema import (
    format_schema,
    parse_schema,
    read_schema,
    read_schema_file,
    write_schema,
    write_schema_file,
)


def small_schema() -> schema_pb2.Schema:
    schema = schema_pb2.Schema()
    schema.feature.add(name="tarif", type=schema_pb2.BYTES, domain="tarif")
    schema.feature.add(name="fare", type=schema_pb2.FLOAT)
    schema.string_domain.add(name="tarif", value=["gemäß", "rot"])
    return schema


def test_a_file_keeps_the_schema_and_begins_with_its_format_and_how_to_curate_it(tmp_path: Path) -> None:
    file = tmp_path / "schema.pbtxt"
    write_schema_file(file, small_schema())
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# headrace schema, format 1"
    assert "review its changes like code" in file.read_text(encoding="utf-8")
    assert "gemäß" in file.read_text(encoding="utf-8")  # legible, not escaped
    assert read_schema_file(file) == small_schema()


def test_every_curated_field_of_the_header_is_understood() -> None:
    text = """
    feature { name: "a" type: INT presence { min_fraction: 0.95 } int_domain { min: 0 max: 120 } }
    feature { name: "b" type: BYTES domain: "b" distribution_constraints { min_domain_mass: 0.99 }
              drift_comparator { infinity_norm { threshold: 0.1 } } lifecycle_stage: DEPRECATED }
    feature { name: "c" type: INT time_domain { integer_format: UNIX_DAYS } }
    feature { name: "d" type: FLOAT float_domain { min: 0 }
              drift_comparator { jensen_shannon_divergence { threshold: 0.1 } } }
    string_domain { name: "b" value: "x" }
    """
    assert [feature.name for feature in parse_schema(text).feature] == ["a", "b", "c", "d"]


def test_a_folder_keeps_the_schema_and_its_file_is_the_bare_one(tmp_path: Path) -> None:
    write_schema(tmp_path / "schema", small_schema())
    assert read_schema(tmp_path / "schema") == small_schema()
    assert (tmp_path / "schema" / "schema.pbtxt").read_text(encoding="utf-8") == format_schema(small_schema())


def test_equal_schemas_have_equal_digests(tmp_path: Path) -> None:
    from headrace.artifacts.folder import read_manifest

    for name in ("one", "two"):
        write_schema(tmp_path / name, small_schema())
    digests = {read_manifest(tmp_path / name, "headrace/schema", 1).digest for name in ("one", "two")}
    assert len(digests) == 1


def test_a_file_of_tfdv_without_our_header_is_read() -> None:
    assert parse_schema('feature { name: "a" type: INT }').feature[0].name == "a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# headrace schema, format 2\nfeature { name: 'a' }", r"s\.pbtxt:1: .* format 1 or older.*format 2"),
        ("# x\n\nfeature {\n  nam: 'a'\n}", r's\.pbtxt:4: .*has no field named "nam"'),
        ("feature {\n  name: 'a", r"s\.pbtxt:2: .*missing ending quote"),
        ("feature { type: FLOTE }", r"s\.pbtxt:1: .*no value named FLOTE"),
        ("# nothing", r"at least one feature\. Received: none"),
        ("feature { type: INT }", r"a name in each feature"),
        ("feature {\n  name: 'a'\n}\nfeature {\n  name: 'a'\n}", r"s\.pbtxt:5: expected each feature once"),
        ("feature {\n  name: 'a'\n  domain: 'b'\n}", r"s\.pbtxt:2: expected the domain of `a`.*'b'"),
    ],
)  # fmt: skip
def test_a_damaged_or_newer_file_is_refused_with_its_line(text: str, expected: str) -> None:
    with pytest.raises(ArtifactError, match=f"(?i)(?s){expected}"):
        parse_schema(text, "s.pbtxt")


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        read_schema_file(tmp_path / "schema.pbtxt")
    (tmp_path / "schema.pbtxt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtifactError, match="UTF-8"):
        read_schema_file(tmp_path / "schema.pbtxt")


def test_a_folder_that_changed_or_is_newer_is_refused(tmp_path: Path) -> None:
    from headrace.artifacts.folder import seal

    write_schema(tmp_path / "schema", small_schema())
    file = tmp_path / "schema" / "schema.pbtxt"
    file.write_text(file.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="changed content"):
        read_schema(tmp_path / "schema")
    seal(tmp_path / "schema", "headrace/schema", 2, {})
    with pytest.raises(ArtifactError, match="Upgrade headrace"):
        read_schema(tmp_path / "schema")
