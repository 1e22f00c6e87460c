"""Pipeline specs: from packages that are uploaded, from requests; checked, and kept once for all that use them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator.documents import Document, Documents
from headrace.emulator.kfp.resources import SPEC, invalid
from headrace.emulator.refusals import Refusal

_MOST = 32 * 1024 * 1024  # bytes of a spec, unpacked, as the API server has it
_NAME = "pipeline.yaml"


def read_package(data: bytes, doing: str) -> Document:
    """The spec in a package: YAML or JSON, or a .zip or .tar.gz with one such file.

    Raises:
        Refusal: INVALID_ARGUMENT: it is none of these, too large, or has no compiled pipeline in it.
    """
    from yaml import YAMLError

    from headrace.pipelines.pipeline_file import parse_pipeline

    broken = (ValueError, HeadraceError, YAMLError, zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error)
    try:
        if data[:4] == b"PK\x03\x04":
            data = _unzipped(data)
        elif data[:2] == b"\x1f\x8b":
            data = _untarred(data)
        if len(data) > _MOST:
            raise ValueError(f"it has more than {_MOST // 2**20} MiB")
        return parse_pipeline(data.decode("utf-8-sig"), "the pipeline file")
    except broken as error:
        raise invalid(doing, f"the pipeline file cannot be read: {error}") from None


def given_spec(spec: Any, doing: str) -> Document:
    """A spec as a request has it: `pipeline_spec` and `platform_spec` in it, in either spelling, or the spec itself.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    if not isinstance(spec, Mapping):
        raise invalid(doing, "expected a pipeline spec")
    pipeline = spec.get("pipeline_spec") or spec.get("pipelineSpec") or spec
    platform = spec.get("platform_spec") or spec.get("platformSpec")
    if not isinstance(pipeline, Mapping) or not pipeline.get("root"):
        raise invalid(doing, "invalid v2 pipeline spec: root component is empty")
    return {"pipelineSpec": pipeline, "platformSpec": platform} if platform else dict(pipeline)


def check_spec(spec: Mapping[str, Any], doing: str) -> None:
    """Whether the spec is one that runs can be made of.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    from headrace.pipelines.local.ir.reading import read_graph

    try:
        if not pipeline_name(spec):
            raise invalid(doing, "invalid v2 pipeline spec: name is empty")
        read_graph(spec)
    except HeadraceError as error:
        raise invalid(doing, str(error)) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise invalid(doing, f"the pipeline spec cannot be read: {type(error).__name__}: {error}") from None


def pipeline_name(spec: Mapping[str, Any]) -> str:
    """What the spec itself calls the pipeline."""
    return str(((spec.get("pipelineSpec") or spec).get("pipelineInfo") or {}).get("name") or "")


def keep(documents: Documents, spec: Mapping[str, Any]) -> str:
    """Keeps a spec, and returns the name that it is found by: those that are equal are kept once."""
    text = json.dumps(spec, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with documents.transaction():
        if documents.find(SPEC, digest) is None:
            documents.create(SPEC, digest, {"spec": spec})
    return digest


def kept(documents: Documents, digest: str) -> Document:
    """A spec, as the local runner reads it."""
    found: Document = documents.get(SPEC, digest)["spec"]
    return found


def shown_spec(documents: Documents, digest: str) -> Document:
    """A spec as the API answers it: with `pipeline_spec` and `platform_spec` where it has both, else itself."""
    spec = kept(documents, digest)
    if "platformSpec" not in spec:
        return spec
    return {"pipeline_spec": spec["pipelineSpec"], "platform_spec": spec["platformSpec"]}


def check_parameters(spec: Mapping[str, Any], given: Mapping[str, Any], doing: str) -> None:
    """Whether parameters are those of a pipeline, and of the JSON types that the API server wants them in.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    root = (spec.get("pipelineSpec") or spec).get("root") or {}
    declared = (root.get("inputDefinitions") or {}).get("parameters") or {}
    if unknown := sorted(set(given) - set(declared)):
        raise invalid(doing, f"Unrecognized input parameter: {', '.join(unknown)}")
    for name, parameter in declared.items():
        if name not in given:
            if not parameter.get("isOptional") and "defaultValue" not in parameter:
                raise invalid(
                    doing,
                    f"parameter {name} is not optional, yet has neither default value nor user provided value",
                )
        else:
            kind = str(parameter.get("parameterType"))
            if kind in _TYPES and not _is(given[name], _TYPES[kind]):
                raise invalid(doing, f"input parameter {name} requires type {kind}, but is {json.dumps(given[name])}")


_TYPES: dict[str, type | tuple[type, ...]] = {
    "NUMBER_DOUBLE": (int, float),
    "NUMBER_INTEGER": (int, float),
    "STRING": str,
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


def _is(value: Any, type: type | tuple[type, ...]) -> bool:
    return value is None or (isinstance(value, type) and (type is bool or not isinstance(value, bool)))


def _unzipped(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        name = _chosen([one.filename for one in archive.infolist() if not one.is_dir()])
        with archive.open(name) as stream:
            return stream.read(_MOST + 1)


def _untarred(data: bytes) -> bytes:
    with gzip.open(io.BytesIO(data)) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
        found: dict[str, bytes] = {}
        for member in archive:
            if member.isfile() and member.name.endswith((".yaml", ".yml", ".json")):
                stream = archive.extractfile(member)
                found[member.name] = stream.read(_MOST + 1) if stream else b""
                if sum(map(len, found.values())) > _MOST:
                    raise ValueError(f"it has more than {_MOST // 2**20} MiB")
        return found[_chosen(list(found))]


def _chosen(names: list[str]) -> str:
    files = [name for name in names if name.endswith((".yaml", ".yml", ".json"))]
    if _NAME in files:
        return _NAME
    if len(files) != 1:
        raise ValueError(f"expected a {_NAME}, or one YAML file. Received: {', '.join(files[:5]) or 'none'}")
    return files[0]


def read_tags(tags: Any, doing: str) -> dict[str, str]:
    """Tags as they are given: a mapping, or the JSON of one.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    try:
        found = json.loads(tags) if isinstance(tags, str) and tags else tags or {}
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError):
        raise Refusal(
            "INVALID_ARGUMENT", f"{doing}: tags: expected a mapping of texts. Received: {tags!r:.200}"
        ) from None
