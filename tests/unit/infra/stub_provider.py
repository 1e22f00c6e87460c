"""A Terraform provider with the Google provider's schemas and no cloud behind it, so that the real `terraform` can evaluate
infra/ here: types, references, loops, conditions, validations. Terraform's plug-in protocol 5 (tfplugin5.proto), served in
this process; `TF_REATTACH_PROVIDERS` tells terraform where. What a cloud would say (an account's address, a service's URL) is
made up in the form that it has.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from .provider_table import TABLE, is_block, mark

NUMBER = "123456789012"
_ADDRESS = "registry.terraform.io/hashicorp/google"
_PROVIDER = {"project": "string", "region": "string", "default_labels": "map(string)"}

# message -> field -> (number, type); a leading * repeats, `map ` has string keys.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Empty": {},
    "Value": {"msgpack": (1, "bytes"), "json": (2, "bytes")},
    "Diagnostic": {"severity": (1, "int64"), "summary": (2, "string"), "detail": (3, "string")},
    "Attribute": {
        "name": (1, "string"),
        "type": (2, "bytes"),
        "required": (4, "bool"),
        "optional": (5, "bool"),
        "computed": (6, "bool"),
    },
    "Nested": {
        "type_name": (1, "string"),
        "block": (2, "Block"),
        "nesting": (3, "int64"),
        "min_items": (4, "int64"),
        "max_items": (5, "int64"),
    },
    "Block": {"version": (1, "int64"), "attributes": (2, "*Attribute"), "block_types": (3, "*Nested")},
    "Schema": {"version": (1, "int64"), "block": (2, "Block")},
    "Schemas": {"provider": (1, "Schema"), "resources": (2, "map Schema"), "data": (3, "map Schema")},
    "Config": {"config": (1, "Value")},
    "Prepared": {"config": (1, "Value"), "diagnostics": (2, "*Diagnostic")},
    "Typed": {"type_name": (1, "string"), "config": (2, "Value")},
    "Diagnosed": {"diagnostics": (1, "*Diagnostic")},
    "Planning": {"type_name": (1, "string"), "prior": (2, "Value"), "proposed": (3, "Value"), "config": (4, "Value")},
    "Planned": {"state": (1, "Value"), "legacy_type_system": (5, "bool")},
    "Read": {"state": (1, "Value")},
}
_SCALARS = {"bytes": 12, "string": 9, "bool": 8, "int64": 3}


def _classes() -> dict[str, Any]:
    """Protobuf classes of the messages: the same numbers and types as in tfplugin5.proto, so the same bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="headrace_tfplugin5.proto", package="tf", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, text) in fields.items():
            kind = text.removeprefix("*").removeprefix("map ")
            added = message.field.add(
                name=field, number=number, label=3 if text[0] == "*" or text.startswith("map ") else 1
            )
            if text.startswith("map "):
                entry = message.nested_type.add(name=f"{field.capitalize()}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=1, type=9)
                entry.field.add(name="value", number=2, label=1, type=11, type_name=f".tf.{kind}")
                added.type, added.type_name = 11, f".tf.{name}.{entry.name}"
            elif kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = 11, f".tf.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tf.{name}")) for name in _MESSAGES}


_C = _classes()


def _type(text: str) -> bytes:
    """`list(string)` as Terraform writes types: `["list","string"]`."""
    outer, _, inner = text.rstrip("!?=").rstrip(")").partition("(")
    return json.dumps([outer, inner] if inner else outer).encode()


def _block(arguments: dict[str, Any]) -> Any:
    block = _C["Block"]()
    for name, argument in arguments.items():
        sign = mark(argument)
        if is_block(argument):
            nesting = 3 if argument["block"].startswith("set") else 2
            inner = _block(argument.get("arguments", {}))
            block.block_types.add(
                type_name=name, block=inner, nesting=nesting, min_items=int(sign == "!"), max_items=argument["most"]
            )
        else:
            asked = {"required": sign == "!", "optional": sign in ("", "?"), "computed": sign in ("?", "=")}
            block.attributes.add(name=name, type=_type(argument), **asked)
    return block


def _schemas(_: Any) -> Any:
    answer = _C["Schemas"](provider=_C["Schema"](block=_block(_PROVIDER)))
    for kind, target in (("resource", answer.resources), ("data", answer.data)):
        for type, entry in TABLE[kind].items():
            target[type].block.CopyFrom(_block(entry["arguments"]))
    return answer


def _made_up(type: str, value: dict[str, Any], project: str) -> dict[str, Any]:
    """What the cloud would answer, in the form that it has."""
    name = next(
        (str(value[key]) for key in ("name", "account_id", "role_id", "repository_id", "dataset_id") if value.get(key)),
        type,
    )
    email = f"{name}@{project}.iam.gserviceaccount.com"
    special: dict[str, dict[str, Any]] = {
        "google_service_account": {
            "email": email,
            "member": f"serviceAccount:{email}",
            "name": f"projects/{project}/serviceAccounts/{email}",
            "id": f"projects/{project}/serviceAccounts/{email}",
        },
        "google_project_iam_custom_role": {"name": f"projects/{project}/roles/{name}"},
        "google_artifact_registry_repository": {"name": name},
        "google_pubsub_topic": {"id": f"projects/{project}/topics/{name}"},
        "google_cloud_run_v2_service": {"uri": f"https://{name}-{NUMBER}.{value.get('location')}.run.app"},
        "google_project": {"number": NUMBER},
        "google_storage_project_service_account": {
            "member": f"serviceAccount:service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com"
        },
    }
    return {"id": f"{type}/{name}", **special.get(type, {})}


def _filled(kind: str, type: str, value: dict[str, Any] | None, project: str) -> dict[str, Any] | None:
    if value is None:
        return None
    made_up = _made_up(type, value, project)
    computed = {
        name
        for name, argument in TABLE[kind][type]["arguments"].items()
        if mark(argument) == "=" and not is_block(argument)
    }
    strings = {name for name in computed if TABLE[kind][type]["arguments"][name] == "string="}
    return {
        **value,
        **{
            name: made_up.get(name, f"made-up-{name}")
            for name in strings
            if value.get(name) is None or _unknown(value[name])
        },
    }


def _unknown(value: Any) -> bool:
    return isinstance(value, msgspec.msgpack.Ext)


def _packed(value: Any) -> Any:
    return _C["Value"](msgpack=msgspec.msgpack.encode(value))


class _Provider:
    def __init__(self) -> None:
        self.project = ""

    def calls(self) -> dict[str, tuple[str, Callable[[Any], Any]]]:
        """The protocol's calls: the request's message and who answers."""
        return {
            "GetSchema": ("Empty", _schemas),
            "PrepareProviderConfig": ("Config", lambda asked: _C["Prepared"](config=asked.config)),
            "ValidateResourceTypeConfig": ("Typed", lambda _: _C["Diagnosed"]()),
            "ValidateDataSourceConfig": ("Typed", lambda _: _C["Diagnosed"]()),
            "Configure": ("Typed", self._configure),
            "PlanResourceChange": ("Planning", self._plan),
            "ReadDataSource": ("Typed", self._read),
            "Stop": ("Empty", lambda _: _C["Empty"]()),
        }

    def _configure(self, asked: Any) -> Any:
        self.project = msgspec.msgpack.decode(asked.config.msgpack)["project"]
        return _C["Diagnosed"]()

    def _plan(self, asked: Any) -> Any:
        proposed = msgspec.msgpack.decode(asked.proposed.msgpack)
        return _C["Planned"](
            state=_packed(_filled("resource", asked.type_name, proposed, self.project)), legacy_type_system=True
        )

    def _read(self, asked: Any) -> Any:
        config = msgspec.msgpack.decode(asked.config.msgpack)
        return _C["Read"](state=_packed(_filled("data", asked.type_name, config, self.project)))


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serves the provider, and gives the environment in which `terraform` finds it."""
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda request, context, answer=answer: answer(request),
            request_deserializer=_C[message].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, (message, answer) in _Provider().calls().items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    place = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    reattach = {_ADDRESS: {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True, "Addr": place}}
    kept = {name: value for name, value in os.environ.items() if not re.match(r"TF_|GOOGLE_", name)}
    try:
        yield {
            **kept,
            "TF_REATTACH_PROVIDERS": json.dumps(reattach),
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_CONFIG_FILE": os.devnull,
        }
    finally:
        server.stop(None).wait()
