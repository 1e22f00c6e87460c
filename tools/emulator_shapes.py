"""Writes emulator/shapes.json: what the bodies of the emulator's requests may look like, from the clients' libraries.

The emulator loads no protobuf, so the fields' types of the messages that reach its routes are written down for it. Run
it after a new version of google-cloud-aiplatform or kfp-server-api, or after new routes: `make docs`.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from headrace.emulator.server import routes
from headrace.emulator.shapes import FILE, plain

_SERVICES = ("dataset", "endpoint", "job", "metadata", "model", "pipeline", "schedule", "tensorboard")
_KNOWN = {
    "google.protobuf.Struct": "o", "google.protobuf.Value": "j", "google.protobuf.ListValue": "[j",
    "google.protobuf.Any": "o", "google.protobuf.Timestamp": "t", "google.protobuf.Duration": "s",
    "google.protobuf.FieldMask": "s", "google.protobuf.BoolValue": "b", "google.protobuf.StringValue": "s",
    "google.protobuf.Int64Value": "l", "google.protobuf.Int32Value": "i", "google.protobuf.DoubleValue": "n",
    "google.protobuf.FloatValue": "n",
}  # fmt: skip
# numbers of protobuf.FieldDescriptor.type
_SCALARS = {1: "n", 2: "n", 3: "l", 4: "l", 5: "i", 6: "l", 7: "i", 8: "b", 9: "s", 12: "s", 13: "i", 14: "e"}
_MESSAGE = 11
_KFP = {
    "POST /apis/v2beta1/experiments": "V2beta1Experiment",
    "POST /apis/v2beta1/pipelines": "V2beta1Pipeline",
    "POST /apis/v2beta1/pipelines/create": "V2beta1CreatePipelineAndVersionRequest",
    "PATCH /apis/v2beta1/pipelines/*": "V2beta1Pipeline",
    "POST /apis/v2beta1/pipelines/*/versions": "V2beta1PipelineVersion",
    "PATCH /apis/v2beta1/pipelines/*/versions/*": "V2beta1PipelineVersion",
    "POST /apis/v2beta1/runs": "V2beta1Run",
    "POST /apis/v2beta1/recurringruns": "V2beta1RecurringRun",
}
_KFP_NUMBERS = ("max_concurrency", "interval_second")  # 64-bit ones, which the library's own types call texts


def text() -> str:
    """The file's content."""
    wanted = {f"{route.method} {plain(route.template)}" for route in routes()}
    requests: dict[str, str] = {}
    messages: dict[str, dict[str, str]] = {}
    for version in ("v1", "v1beta1"):
        for service in _SERVICES:
            _add_service(version, service, wanted, requests, messages)
    for request, name in _KFP.items():
        requests[request] = _add_kfp(name, messages)
    return json.dumps({"requests": requests, "messages": messages}, indent=0, sort_keys=True) + "\n"


def _add_service(
    version: str, service: str, wanted: set[str], requests: dict[str, str], messages: dict[str, dict[str, str]]
) -> None:
    types = import_module(f"google.cloud.aiplatform_{version}.types")
    base = f"google.cloud.aiplatform_{version}.services.{service}_service.transports.rest_base"
    transport = getattr(import_module(base), f"_Base{service.capitalize()}ServiceRestTransport")
    for name in dir(transport):
        options = getattr(getattr(transport, name), "_get_http_options", None)
        request = getattr(types, f"{name.removeprefix('_Base')}Request", None)
        if options is None or request is None:
            continue
        for option in options():
            body = option.get("body")
            path = re.sub(r"\{[\w.]+=([^}]+)\}", r"\1", option["uri"]).replace("/v1beta1/", "/v1/")
            key = f"{option['method'].upper()} {path}"
            if body and key in wanted:
                descriptor = request.pb().DESCRIPTOR
                if body != "*":
                    descriptor = descriptor.fields_by_name[body].message_type
                requests[key] = _add(descriptor, messages, set())


def _add(descriptor: Any, messages: dict[str, dict[str, str]], seen: set[str]) -> str:
    """A message with those in it; returns its name."""
    name = descriptor.full_name.removeprefix("google.cloud.aiplatform.").partition(".")[2]
    if name in seen:
        return str(name)
    seen.add(name)
    fields = messages.setdefault(name, {})
    for field in descriptor.fields:
        inner = field.message_type if field.type == _MESSAGE else None
        if inner is not None and inner.GetOptions().map_entry:
            fields[field.json_name] = "{" + _kind(inner.fields_by_name["value"], messages, seen)
        else:
            fields[field.json_name] = ("[" if field.is_repeated else "") + _kind(field, messages, seen)
    return str(name)


def _kind(field: Any, messages: dict[str, dict[str, str]], seen: set[str]) -> str:
    if field.type != _MESSAGE:
        return _SCALARS[field.type]
    known = _KNOWN.get(field.message_type.full_name)
    return known or _add(field.message_type, messages, seen)


def _add_kfp(name: str, messages: dict[str, dict[str, str]]) -> str:
    import kfp_server_api.models

    if name not in messages:
        fields = messages[name] = {}
        for field, told in getattr(kfp_server_api.models, name).openapi_types.items():
            fields[field] = "l" if field in _KFP_NUMBERS else _kfp_kind(told, messages)
    return name


def _kfp_kind(told: str, messages: dict[str, dict[str, str]]) -> str:
    import kfp_server_api.models

    if found := re.fullmatch(r"list\[(.+)\]", told):
        return "[" + _kfp_kind(found[1], messages)
    if found := re.fullmatch(r"dict\(str, (.+)\)", told):
        return "{" + ("j" if found[1] == "object" else _kfp_kind(found[1], messages))
    known = {"str": "s", "int": "i", "float": "n", "bool": "b", "object": "o", "datetime": "t"}.get(told)
    if known:
        return known
    return _add_kfp(told, messages) if getattr(kfp_server_api.models, told).openapi_types else "e"


def main() -> None:
    """Writes the file, or says with --check whether it is current."""
    new, file = text(), Path(FILE)
    if "--check" not in sys.argv[1:]:
        file.write_text(new)
    elif not file.exists() or file.read_text() != new:
        sys.exit(f"{file}: expected the messages of the emulator's routes. Received: an older file. Run `make docs`.")


if __name__ == "__main__":
    main()
