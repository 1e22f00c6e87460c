from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headrace.components.push.spec import DeploySpec


def test_the_defaults_replace_at_the_specs_own_endpoint() -> None:
    assert DeploySpec().model_dump() == {"endpoint": None, "strategy": "replace", "approval": "none"}


@pytest.mark.parametrize("extra", [{}, {"steps": [10, 50, 100]}])
@pytest.mark.parametrize("strategy", ["canary", "shadow", "", None, ["replace"]])
def test_a_strategy_of_a_later_version_is_refused_before_its_settings(strategy: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        DeploySpec(strategy=strategy, **extra)
    (error,) = caught.value.errors()
    assert "expected `replace`, which this version has. Received: " + repr(strategy) in error["msg"]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        DeploySpec(endpont="churn")


@pytest.mark.parametrize("endpoint", ["", "a/b", "..", "x" * 129, "a\n"])
def test_an_endpoint_that_is_no_name_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="String should match pattern"):
        DeploySpec(endpoint=endpoint)
