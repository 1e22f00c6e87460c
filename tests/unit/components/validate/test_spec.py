"""The `validate` section: safe by default, strict about its keys."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from headrace.components.validate.spec import ValidateSpec, age


def test_anomalies_fail_a_run_unless_said_otherwise() -> None:
    assert ValidateSpec().on_anomaly == "fail"
    assert ValidateSpec(on_anomaly="warn").on_anomaly == "warn"


def test_what_is_surely_wrong_is_an_error_and_the_rest_a_warning() -> None:
    levels = {
        name: section["level"] for name, section in ValidateSpec().model_dump().items() if isinstance(section, dict)
    }
    assert {name for name, level in levels.items() if level == "error"} == {"leakage"}
    assert set(levels.values()) == {"error", "warn"}


def test_a_misspelt_key_and_an_unknown_choice_are_refused() -> None:
    with pytest.raises(ValidationError, match="on_anomaley"):
        ValidateSpec.model_validate({"on_anomaley": "fail"})
    with pytest.raises(ValidationError, match="'fail' or 'warn'"):
        ValidateSpec.model_validate({"on_anomaly": "ignore"})
    with pytest.raises(ValidationError, match="at_mots"):
        ValidateSpec.model_validate({"duplicates": {"at_mots": 0.1}})
    with pytest.raises(ValidationError, match="'error', 'warn' or 'off'"):
        ValidateSpec.model_validate({"duplicates": "fatal"})


def test_a_level_alone_will_do_and_yaml_reads_off_as_false() -> None:
    spec = ValidateSpec.model_validate({"duplicates": False, "drift": "error", "volume": {"level": False}})
    assert (spec.duplicates.level, spec.drift.level, spec.volume.level) == ("off", "error", "off")
    assert spec.drift.numbers == ValidateSpec().drift.numbers


def test_what_is_compiled_is_read_again() -> None:
    spec = ValidateSpec.model_validate(
        {
            "leakage": {"except": ["a"]},
            "freshness": {"column": "at", "max_age": "36h"},
            "checks": [{"name": "one", "sql": "SELECT true", "expect": True}],
        }
    )
    assert ValidateSpec(**spec.model_dump(mode="json", by_alias=True, exclude_none=True)) == spec


def test_ages() -> None:
    assert age("36h") == timedelta(hours=36)
    assert age("1.5 d") == timedelta(hours=36)
    assert age("2w") == timedelta(days=14)
    for text in ("7", "d", "7 days", "-1d"):
        with pytest.raises(ValidationError, match="36h, 7d or 2w"):
            ValidateSpec.model_validate({"freshness": {"column": "at", "max_age": text}})


def test_only_freshness_depends_on_the_time() -> None:
    fresh = {"column": "at", "max_age": "1d"}
    assert not ValidateSpec().ages
    assert ValidateSpec.model_validate({"freshness": fresh}).ages
    assert not ValidateSpec.model_validate({"freshness": {**fresh, "level": "off"}}).ages


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ([{"name": "a"}], "a: expected either sql or function. Received: neither"),
        ([{"name": "a", "sql": "x", "function": "f.py:g"}], "a: expected either sql or function. Received: both"),
        ([{"name": "a", "function": "f:g"}], "a: expected function as file.py:name. Received: 'f:g'"),
        ([{"name": "a", "sql": "x"}] * 2, "expected each name once. Received: a more than once"),
    ],
)
def test_a_check_has_a_name_and_one_way_to_be_run(checks: list[dict[str, str]], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        ValidateSpec.model_validate({"checks": checks})
    assert said in str(error.value)
