"""From a trained bundle to a served one, through the components' own functions, as KFP calls them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kfp import compiler

from headrace.artifacts.absent import is_absent
from headrace.artifacts.bundle import Bundle
from headrace.components.champion.component import champion
from headrace.components.fingerprint.component import fingerprint
from headrace.components.infra_validate.component import infra_validate
from headrace.components.push.component import push
from headrace.components.register.blessing import NotBlessed
from headrace.components.register.component import register
from headrace.platforms.open import open_platform
from tests.unit.components.evidence import write_decision, write_evidence_of_worth
from tests.unit.serving.tiny_bundle import write_tiny_bundle

COMPONENTS = {
    "champion": (champion, {"platform", "model_name"}, set(), {"model"}, set()),
    "fingerprint": (fingerprint, {"source", "data", "folder", "aggregate"}, set(), set(), {"digest"}),
    "infra-validate": (infra_validate, set(), {"model"}, {"infra"}, set()),
    "register": (
        register,
        {"platform", "model_name", "run", "deploy", "endpoint"},
        {"model", "evaluation", "decision", "card"},
        set(),
        {"version"},
    ),
    "push": (
        push,
        {"model_name", "version", "platform", "endpoint", "deploy", "run"},
        {"decision", "infra"},
        set(),
        {"state"},
    ),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_compiled_interface(name: str, tmp_path: Path) -> None:
    component, parameters, artifacts, made, returned = COMPONENTS[name]
    compiler.Compiler().compile(component, str(tmp_path / "component.yaml"))
    ir = yaml.safe_load((tmp_path / "component.yaml").read_text())
    found = ir["components"][f"comp-{name}"]
    inputs, outputs = found.get("inputDefinitions", {}), found.get("outputDefinitions", {})
    assert set(inputs.get("parameters", {})) == parameters
    assert set(inputs.get("artifacts", {})) == artifacts
    assert set(outputs.get("artifacts", {})) == made
    assert set(outputs.get("parameters", {})) == returned
    container = ir["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    assert "pip install" not in " ".join(container["command"])


def at(path: Path) -> SimpleNamespace:
    return SimpleNamespace(path=str(path), metadata={})


def test_from_a_bundle_to_the_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    model, infra, decision, evaluation = (tmp_path / n for n in ("model", "infra", "decision", "evaluation"))
    digest = Bundle.open(write_tiny_bundle(model)).digest
    champion.python_func(platform="local", model_name="tiny", model=at(tmp_path / "before"))
    assert is_absent(tmp_path / "before")
    infra_validate.python_func(model=at(model), infra=at(infra))
    write_decision(decision, digest)
    write_evidence_of_worth(evaluation, digest)
    where = {"platform": "local", "model_name": "tiny", "run": "run-1"}
    evidence = {"evaluation": at(evaluation), "decision": at(decision)}
    (version,) = register.python_func(model=at(model), **evidence, **where)
    pushing = {"decision": at(decision), "infra": at(infra), "endpoint": "tiny", "deploy": {}}
    push.python_func(version=version, **pushing, **where)
    champion.python_func(platform="local", model_name="tiny", model=at(tmp_path / "after"))
    assert Bundle.open(tmp_path / "after").digest == digest
    history = open_platform("local").registry.history()
    assert [(event.action, event.run) for event in history] == [("register", "run-1"), ("deploy", "run-1")]
    push.python_func(version=version, **{**pushing, "deploy": {"endpoint": "other"}}, **where)
    assert [endpoint.name for endpoint in open_platform("local").endpoints.list()] == ["other", "tiny"]


def test_wired_without_a_condition_it_still_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    digest = Bundle.open(write_tiny_bundle(tmp_path / "model")).digest
    write_decision(tmp_path / "decision", digest, passed=False)
    write_evidence_of_worth(tmp_path / "evaluation", digest)
    with pytest.raises(NotBlessed):
        register.python_func(
            model=at(tmp_path / "model"),
            evaluation=at(tmp_path / "evaluation"),
            decision=at(tmp_path / "decision"),
            platform="local",
            model_name="tiny",
            run="run-1",
        )
    assert open_platform("local").registry.models() == []
