"""The schema: what the data must look like, as TFMD's `Schema` message, which TFDV and TFX read too.

It lives in two places: as a sealed folder with `schema.pbtxt` where it flows along a pipeline's arrows, and
as a bare `schema.pbtxt` beside a spec, where people curate it. Both hold the same text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_manifest, write_folder, write_text

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

FORMAT = "headrace/schema"
VERSION = 1
FILE = "schema.pbtxt"

TRAINING = "TRAINING"  # the schema's environment where the label is present
SERVING = "SERVING"  # ... and where it is not

_HEADER = f"""\
# headrace schema, format {VERSION}
# What the data must look like: a TensorFlow Metadata `Schema`, which TFDV and TFX read as it is. Commit it
# beside the spec and review its changes like code: runs hold the data against it, and never widen it.
#   type             FLOAT (whole numbers pass too), INT, or BYTES for text
#   presence         min_fraction: 0.95 lets up to 5 % of the rows of a split miss the value; 1 lets none
#   int_domain       {{ min: 0 max: 120 }} bounds whole numbers; float_domain other numbers
#   domain           names the string_domain that lists the values; min_domain_mass: 0.99 lets 1 % be others
#   time_domain      UNIX_DAYS for dates, UNIX_MICROSECONDS for timestamps: integers since 1970-01-01
#   drift_comparator how far eval and test may be from train:
#                    {{ infinity_norm {{ threshold: 0.1 }} }} for text,
#                    {{ jensen_shannon_divergence {{ threshold: 0.1 }} }} for numbers
#   lifecycle_stage  DEPRECATED: the column may be absent, and is no longer checked
"""
_FIRST_LINE = re.compile(r"#\s*headrace schema, format (\d+)\s*$")


def format_schema(schema: schema_pb2.Schema) -> str:
    """The text of a schema file: the format's header with how to curate it, then the message."""
    from google.protobuf import text_format

    return _HEADER + "\n" + str(text_format.MessageToString(schema, as_utf8=True))


def parse_schema(text: str, source: str = FILE) -> schema_pb2.Schema:
    """Reads the text of a schema. One without the header is taken for TFDV's own and read as well.

    Args:
        text: the file's content.
        source: what to call the file in errors.

    Raises:
        ArtifactError: a newer format, or damaged; with file and line.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    header = _FIRST_LINE.match(text.split("\n", 1)[0])
    if header and int(header.group(1)) > VERSION:
        raise ArtifactError(
            f"{source}:1: expected a headrace schema of format {VERSION} or older. "
            f"Received: format {header.group(1)}. Upgrade headrace to read it."
        )
    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        reason = re.sub(r"^\d+:\d+ : ", "", str(error))
        line = f":{error.GetLine()}" if error.GetLine() else ""
        raise ArtifactError(f"{source}{line}: expected a schema in text format. Received: {reason}") from None
    _check(schema, text, source)
    return schema


def read_schema_file(file: Path | str) -> schema_pb2.Schema:
    """Reads the bare file that is committed beside a spec.

    Raises:
        ArtifactError: missing, not UTF-8, a newer format, or damaged; with file and line.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArtifactError(f"{file}: expected a schema file. Received: no such file") from None
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{file}: expected a schema in UTF-8 text. Received: {error}") from None
    return parse_schema(text, str(file))


def write_schema_file(file: Path | str, schema: schema_pb2.Schema) -> None:
    """Writes the bare file, atomically; what was there is replaced."""
    write_text(Path(file), format_schema(schema))


def write_schema(path: Path | str, schema: schema_pb2.Schema) -> None:
    """Writes a schema as a sealed folder."""
    with write_folder(Path(path), FORMAT, VERSION, {"features": len(schema.feature)}) as folder:
        write_schema_file(folder / FILE, schema)


def read_schema(path: Path | str) -> schema_pb2.Schema:
    """Reads a schema from its sealed folder.

    Raises:
        ArtifactError: not a schema, damaged, or of a newer format version.
    """
    read_manifest(Path(path), FORMAT, VERSION)
    return read_schema_file(Path(path) / FILE)


def _check(schema: schema_pb2.Schema, text: str, source: str) -> None:
    """Refuses what TFDV would pass over: a feature without a name, named twice, or of an unknown domain."""
    if not schema.feature:
        raise ArtifactError(f"{source}: expected a schema with at least one feature. Received: none")
    domains = {domain.name for domain in schema.string_domain}
    seen: set[str] = set()
    for feature in schema.feature:
        name = feature.name
        if not name:
            raise ArtifactError(f"{source}: expected a name in each feature. Received: a feature without one")
        line = _line_of(text, name, 2 if name in seen else 1)
        if name in seen:
            raise ArtifactError(f"{source}{line}: expected each feature once. Received: `{name}` again")
        if feature.WhichOneof("domain_info") == "domain" and feature.domain not in domains:
            raise ArtifactError(
                f"{source}{line}: expected the domain of `{name}` among the string domains "
                f"({', '.join(sorted(domains)) or 'none'}). Received: {feature.domain!r}"
            )
        seen.add(name)


def _line_of(text: str, name: str, occurrence: int) -> str:
    found = [
        number
        for number, line in enumerate(text.split("\n"), 1)
        if re.match(rf"\s*(feature\s*\{{\s*)?name:\s*[\"']{re.escape(name)}[\"']", line)
    ]
    return f":{found[occurrence - 1]}" if len(found) >= occurrence else ""
