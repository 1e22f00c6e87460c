"""infra/ by itself: it is HCL, every argument is the provider's, every reference leads somewhere, everything is said in words."""

from __future__ import annotations

import re
from typing import Any

import hcl2
import pytest

from .provider_table import META, TABLE, arguments, is_block, mark
from .terraform_files import INFRA, ROOT, Module, body, infra, load, references, texts

MODULE = infra()
GUIDE = (ROOT / "docs/infrastructure.md").read_text()


def problems(block: dict[str, Any], known: dict[str, Any], where: str) -> list[str]:
    """What the provider would refuse: arguments that it does not have, that only it sets, or that are missing."""
    found = []
    given = set()
    for name, value, nested in body(block):
        if name in META:
            continue
        given.add(name)
        if name not in known:
            found.append(f"{where}: no argument {name}")
        elif mark(known[name]) == "=":
            found.append(f"{where}: {name} is computed")
        elif nested != is_block(known[name]):
            found.append(f"{where}: {name} is {'a block' if is_block(known[name]) else 'an argument'}")
        elif nested:
            for inner in value:
                found += problems(inner, known[name].get("arguments", {}), f"{where}.{name}")
    missing = [name for name, argument in known.items() if mark(argument) == "!" and name not in given]
    return found + [f"{where}: {name} is missing" for name in missing]


def test_every_argument_is_the_providers() -> None:
    found = []
    for kind, blocks in (("resource", MODULE.resources), ("data", MODULE.data)):
        for (type, name), block in blocks.items():
            assert type in TABLE[kind], (
                f"{type} is not in provider_arguments.json: copy its arguments there, with the source"
            )
            found += problems(block, arguments(kind, type), f"{type}.{name}")
    assert found == []
    assert len(MODULE.resources) > 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "t"\n message_retention = "1s"', "google_pubsub_topic.t: no argument message_retention"),
        ("labels = {}", "google_pubsub_topic.t: name is missing"),
        ('name = "t"\n effective_labels = {}', "google_pubsub_topic.t: effective_labels is computed"),
        ('name = "t"\n labels { a = 1 }', "google_pubsub_topic.t: labels is an argument"),
        (
            'name = "t"\n message_storage_policy {\n x = 1\n }',
            "google_pubsub_topic.t.message_storage_policy: no argument x",
        ),
    ],
)
def test_what_the_provider_would_refuse_is_found(text: str, said: str) -> None:
    [(_, block)] = load({"x.tf": f'resource "google_pubsub_topic" "t" {{\n {text}\n}}'}).resources.items()
    assert said in problems(block, arguments("resource", "google_pubsub_topic"), "google_pubsub_topic.t")


def unresolved(module: Module) -> list[str]:
    """References to what is not there, and to attributes that its type does not have."""
    found = []
    everything = [module.variables, module.outputs, module.locals, *module.resources.values(), *module.data.values()]
    for match in references(everything):
        head, first, rest = match["head"], match["first"], match["rest"]
        attribute = re.sub(r"\[.*?\](?=\.|$)", "", rest).removeprefix(".").partition(".")[0]
        if head == "var":
            known = first in module.variables
        elif head == "local":
            known = first in module.locals
        elif head == "each":
            known = first in ("key", "value")
        elif head == "data":
            name, _, attribute = rest.removeprefix(".").partition(".")
            known = (first, name) in module.data and attribute in ("", *arguments("data", first))
        else:
            known = (head, first) in module.resources and attribute in ("", *arguments("resource", head))
        if not known:
            found.append(match[0])
    return found


def test_every_reference_leads_somewhere() -> None:
    assert unresolved(MODULE) == []
    found = {match["head"] for match in references([MODULE.outputs, MODULE.locals, *MODULE.resources.values()])}
    assert {"var", "local", "data", "each", "google_storage_bucket", "google_service_account"} <= found


@pytest.mark.parametrize(
    "expression",
    [
        "var.nothing",
        "local.nothing",
        "data.google_project.that.number",
        "google_pubsub_topic.t.uri",
        'google_pubsub_topic.u["a"].id',
        '"a-${var.nothing}"',
    ],
)
def test_a_reference_that_leads_nowhere_is_found(expression: str) -> None:
    text = f'resource "google_pubsub_topic" "t" {{\n name = {expression}\n}}'
    assert unresolved(load({"x.tf": text})) == [expression.strip('"').removeprefix("a-${").removesuffix("}")]


def test_nothing_stands_there_unused() -> None:
    used = {
        (match["head"], match["first"])
        for match in references([MODULE.outputs, MODULE.locals, MODULE.resources, *MODULE.resources.values()])
    }
    provider = hcl2.loads((INFRA / "versions.tf").read_text())
    used |= {(match["head"], match["first"]) for match in references(provider)}
    assert {name for name in MODULE.variables if ("var", name) not in used} == set()
    assert {name for name in MODULE.locals if ("local", name) not in used} == set()


def test_variables_and_outputs_are_described_and_in_the_guide() -> None:
    for name, variable in MODULE.variables.items():
        assert len(variable["description"]) > 20 and "type" in variable, name
        assert f"`{name}`" in GUIDE, f"docs/infrastructure.md says nothing of the variable {name}"
    for name, output in MODULE.outputs.items():
        assert len(output["description"]) > 20, name
        assert f"`{name}`" in GUIDE, f"docs/infrastructure.md says nothing of the output {name}"


def test_only_project_and_environment_have_to_be_given() -> None:
    assert {name for name, variable in MODULE.variables.items() if "default" not in variable} == {
        "project",
        "environment",
    }


def test_the_examples_set_variables_that_there_are() -> None:
    for file in INFRA.glob("*.tfvars.example"):
        given = hcl2.loads(file.read_text())
        assert {name for name in given if not name.startswith("__")} <= set(MODULE.variables), file.name
        assert {"project", "environment"} <= set(given)
    assert len(list(INFRA.glob("*.tfvars.example"))) == 2


def test_every_api_that_is_used_is_enabled_before() -> None:
    """By the type's first word; and what is made waits until it is."""
    apis = {
        "google_artifact_registry": "artifactregistry",
        "google_bigquery": "bigquery",
        "google_cloud_run": "run",
        "google_cloud_scheduler": "cloudscheduler",
        "google_cloudbuild": "cloudbuild",
        "google_monitoring": "monitoring",
        "google_project_iam": "iam",
        "google_project_service": "serviceusage",
        "google_pubsub": "pubsub",
        "google_service_account": "iam",
        "google_storage": "storage",
        "google_vertex_ai": "aiplatform",
    }
    enabled = {name.removesuffix(".googleapis.com") for name in MODULE.locals["services"]}
    used = set()
    for type, _ in MODULE.resources:
        [api] = [api for start, api in apis.items() if type.startswith(start)]
        used.add(api)
    assert used <= enabled
    # What no resource here stands for, and why it is called all the same, is said beside the name.
    assert enabled - used == {"cloudresourcemanager", "compute", "dataflow", "iamcredentials", "logging"}
    assert all(len(purpose) > 5 for purpose in MODULE.locals["services"].values())
    for (type, name), block in MODULE.resources.items():
        waits = [
            text
            for text in texts(block)
            if re.search(r"google_(?!project_service)\w+\.\w+|google_project_service\.enabled", text)
        ]
        assert waits or type == "google_project_service", f"{type}.{name} may be made before its API is enabled"


def test_nothing_names_a_project_a_person_or_a_secret() -> None:
    for file in [*INFRA.glob("*.tf")]:
        text = file.read_text()
        assert not re.search(r"(?i)password|private_key|AIza|-----BEGIN|\b\d{12}\b", text), file.name
        assert not re.findall(r"[\w.]+@(?!PROJECT|sha256|\$|gcp-sa|cloud|example)[a-z0-9-]+\.(?:com|iam)", text), (
            file.name
        )


def test_buckets_are_closed_and_versioned_and_not_destroyed_with_what_is_in_them() -> None:
    [(_, bucket)] = MODULE.of("google_storage_bucket").items()
    assert bucket["uniform_bucket_level_access"] == "true" or bucket["uniform_bucket_level_access"] is True
    assert bucket["public_access_prevention"] == "enforced"
    assert str(bucket["force_destroy"]).lower() == "false"
    assert all(settings["versioned"] for settings in MODULE.locals["buckets"].values())
