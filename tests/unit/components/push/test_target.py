from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.push.spec import DeploySpec
from headrace.components.push.target import STRATEGIES, Target, target
from headrace.platforms.interface import ModelSettings


@pytest.mark.parametrize("deploy", [{}, {"endpoint": None}, {"strategy": "replace"}])
def test_the_endpoint_is_the_specs_own_unless_named(deploy: dict[str, Any]) -> None:
    assert target(deploy, "churn") == Target("churn", "replace")
    assert target({**deploy, "endpoint": "other"}, "churn") == Target("other", "replace")


def test_it_reads_what_the_spec_writes() -> None:
    assert target(DeploySpec(endpoint="other").model_dump(mode="json"), "churn") == Target("other")
    assert get_args(DeploySpec.model_fields["strategy"].annotation) == STRATEGIES


@pytest.mark.parametrize("strategy", ["shadow", None, ["replace"], ""])
def test_a_strategy_of_a_later_version_is_refused(strategy: Any) -> None:
    with pytest.raises(
        HeadraceError, match=r"strategy: expected `replace` or `canary`, which this version has\. Received: "
    ):
        target({"strategy": strategy, "steps": [10, 100]}, "churn")


def test_approvals_are_what_the_registry_keeps() -> None:
    found = target({"approval": "two"}, "churn")
    assert (found.approvals, found.settings) == (2, ModelSettings(2, "churn"))
    assert target(DeploySpec(approval="one").model_dump(mode="json"), "churn").approvals == 1
    with pytest.raises(HeadraceError, match="approval: expected none, one or two. Received: 'three'"):
        target({"approval": "three"}, "churn")


def test_a_setting_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(HeadraceError, match=r"deploy: expected only endpoint, strategy, approval\. Received: steps"):
        target({"steps": [10, 100]}, "churn")


def test_pushing_imports_nothing_heavy() -> None:
    modules = "champion.fetch, headrace.components.register.register, headrace.components.push.push"
    code = f"import sys, headrace.components.{modules}, headrace.components.push.target; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[0] for name in out.split()}
    assert not {"numpy", "pyarrow", "pandas", "pydantic", "kfp", "yaml", "onnxruntime"} & loaded
