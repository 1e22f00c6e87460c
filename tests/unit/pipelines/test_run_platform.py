"""`headrace run` registers where `headrace models` looks."""

from __future__ import annotations

import pytest

from headrace.pipelines.commands.run import registry


def test_the_registry_of_the_environment_is_a_parameter_where_a_pipeline_takes_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = {"root": {"inputDefinitions": {"parameters": {"platform": {}}}}}
    monkeypatch.delenv("HEADRACE_PLATFORM", raising=False)
    assert registry(ours) == {}
    monkeypatch.setenv("HEADRACE_PLATFORM", "mlflow:http://host")
    assert registry(ours) == {"platform": "mlflow:http://host"}
    assert registry({"pipelineSpec": ours, "platformSpec": {}}) == {"platform": "mlflow:http://host"}
    assert registry({"root": {}}) == {}  # somebody else's pipeline
