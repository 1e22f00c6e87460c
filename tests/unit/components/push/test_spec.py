from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from headrace.components.push.canary import Canary
from headrace.components.push.spec import CanarySpec, DeploySpec
from headrace.components.push.target import target


def test_the_defaults_replace_at_the_specs_own_endpoint() -> None:
    plain = DeploySpec().model_dump(exclude_none=True)
    assert plain == {"strategy": "replace", "approval": "none"}


@pytest.mark.parametrize("extra", [{}, {"steps": [10, 50, 100]}])
@pytest.mark.parametrize("strategy", ["shadow", "", None, ["replace"]])
def test_a_strategy_of_a_later_version_is_refused_before_its_settings(strategy: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        DeploySpec(strategy=strategy, **extra)
    (error,) = caught.value.errors()
    assert "expected `replace` or `canary`, which this version has. Received: " + repr(strategy) in error["msg"]


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        DeploySpec(endpont="churn")


@pytest.mark.parametrize("endpoint", ["", "a/b", "..", "x" * 129, "a\n"])
def test_an_endpoint_that_is_no_name_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="String should match pattern"):
        DeploySpec(endpoint=endpoint)


def test_a_canary_that_says_nothing_is_the_default() -> None:
    assert {**CanarySpec().model_dump(), "steps": list(Canary().steps), "slow_seconds": None} == Canary().to_json()
    plain = DeploySpec(strategy="canary").model_dump(mode="json", exclude_none=True)
    assert target(plain, "churn").canary == Canary()


def test_a_check_that_is_left_out_stays_out_on_its_way_through_the_pipeline() -> None:
    spec = DeploySpec(strategy="canary", steps=[10, 100], canary=CanarySpec(errors=None))
    found = target(spec.model_dump(mode="json", exclude_none=True), "churn").canary
    assert "None" not in str(spec.model_dump(mode="json", exclude_none=True))  # which a pipeline cannot hold
    assert found is not None and (found.steps, found.errors, found.drift) == ((10, 100), None, 0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": [10, 50]}, "expected whole percentages that rise, from 1 or more to 100"),
        ({"steps": [0, 100]}, "expected whole percentages that rise"),
        ({"steps": [50, 10, 100]}, "expected whole percentages that rise"),
        ({"canary": {"errors": 1}}, "errors: expected a share above 0 and below 1, or null. Received: 1.0"),
        ({"canary": {"false_rollback": 0}}, "expected a probability above 0, up to 0.5"),
        ({"canary": {"errors": None, "latency": None, "drift": None, "outcomes": None}}, "one check at least"),
        ({"strategy": "replace", "steps": [100]}, "expected strategy: canary, with steps. Received: replace"),
    ],
)
def test_a_canary_that_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DeploySpec(**{"strategy": "canary", **settings})
