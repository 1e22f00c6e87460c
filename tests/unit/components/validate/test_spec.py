"""The `validate` section: safe by default, strict about its keys."""

import pytest
from pydantic import ValidationError

from headrace.components.validate.spec import ValidateSpec


def test_anomalies_fail_a_run_unless_said_otherwise() -> None:
    assert ValidateSpec().on_anomaly == "fail"
    assert ValidateSpec(on_anomaly="warn").on_anomaly == "warn"


def test_a_misspelt_key_and_an_unknown_choice_are_refused() -> None:
    with pytest.raises(ValidationError, match="on_anomaley"):
        ValidateSpec.model_validate({"on_anomaley": "fail"})
    with pytest.raises(ValidationError, match="'fail' or 'warn'"):
        ValidateSpec.model_validate({"on_anomaly": "ignore"})
