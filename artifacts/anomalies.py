"""The anomalies of a snapshot: where it departs from the schema, as TFMD's `Anomalies` message.

One message for all splits: what was found in several is one reason, its description led by the splits' names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_manifest, write_folder, write_text

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

FORMAT = "headrace/anomalies"
VERSION = 1
FILE = "anomalies.pbtxt"


def write_anomalies(path: Path | str, anomalies: anomalies_pb2.Anomalies) -> None:
    """Writes anomalies as a sealed folder."""
    from google.protobuf import text_format

    with write_folder(Path(path), FORMAT, VERSION, {"features": len(anomalies.anomaly_info)}) as folder:
        write_text(folder / FILE, text_format.MessageToString(anomalies, as_utf8=True))


def read_anomalies(path: Path | str) -> anomalies_pb2.Anomalies:
    """Reads anomalies from their sealed folder.

    Raises:
        ArtifactError: not anomalies, damaged, or of a newer format version.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    read_manifest(Path(path), FORMAT, VERSION)
    file = Path(path) / FILE
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), anomalies_pb2.Anomalies())
    except FileNotFoundError:
        raise ArtifactError(f"{file}: expected anomalies in text format. Received: no such file") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{file}: expected anomalies in text format. Received: damage ({error})") from None
