"""The `card` section of the spec, and that its words cost no training."""

from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from headrace.components.card.spec import CardSpec
from headrace.pipelines.compile import training_ir
from headrace.pipelines.spec import Spec


def test_considerations_are_words_or_risks_with_what_is_done() -> None:
    section = CardSpec(considerations=["Watched.", {"risk": "Age.", "mitigation": "Compared."}])
    assert [(item.risk, item.mitigation) for item in section.considerations] == [
        ("Watched.", ""),
        ("Age.", "Compared."),
    ]
    assert CardSpec(**section.model_dump(mode="json")) == section


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValidationError, match="purpos"):
        CardSpec(purpos="x")


def test_the_owner_s_words_reach_the_card_and_the_run_s_record_alone() -> None:
    spec = {"name": "churn", "task": "classification", "data": {"source": "a.csv", "label": "y"}}
    words = {"card": {"purpose": "Finds leavers."}}
    plain, told = (
        yaml.safe_load(training_ir(Spec(**value), "").split("---")[0]) for value in (spec, {**spec, **words})
    )
    tasks = [plain["root"]["dag"]["tasks"], told["root"]["dag"]["tasks"]]
    assert [name for name, task in tasks[0].items() if task != tasks[1][name]] == ["card", "track"]
