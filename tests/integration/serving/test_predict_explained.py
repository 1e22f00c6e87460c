"""`headrace predict --explain`: the server's answers with what they are made of, of the same model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_bundle import INPUTS, random_instances

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.pipelines import explained
from headrace.pipelines.commands.predict import command
from headrace.pipelines.explained import explain_instances, explained_answers
from headrace.serving.client import predict
from headrace.serving.local import running_server

KINDS = ["binary", "multiclass", "regression"]


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_come_to_what_the_server_answers(bundles: dict[str, Path], kind: str, tmp_path: Path) -> None:
    instances = random_instances(INPUTS, 6, seed=1)
    with running_server(bundles[kind]) as url:
        answers = predict(url, instances)
    found = explained_answers(str(bundles[kind]), tmp_path, instances, answers)
    for answer, one in zip(answers, found, strict=True):
        made_of = one.pop("explanation")
        assert one == answer
        total = made_of["base"] + sum(made_of["contributions"].values())
        told = answer["value"] if kind == "regression" else answer["probabilities"][made_of["of"]]
        assert total == pytest.approx(told, abs=1e-5)
        assert set(made_of["contributions"]) <= {item.name for item in INPUTS}
        if kind == "multiclass":
            assert made_of["of"] == answer["label"]


def test_the_command_prints_it_and_refuses_what_it_cannot_explain(
    bundles: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explained, "locate_bundle", lambda name, home: bundles["binary"])
    instances = json.dumps(random_instances(INPUTS, 2, seed=2))
    home = ["--home", str(tmp_path)]
    with running_server(bundles["binary"]) as url:
        monkeypatch.setattr("headrace.pipelines.locate.find_address", lambda name, home: url)
        shown = CliRunner().invoke(command, ["tiny", "--json", instances, "--explain", *home])
        assert shown.exit_code == 0, shown.output
        assert [set(json.loads(line)) for line in shown.output.splitlines()] == [
            {"label", "probabilities", "explanation"}
        ] * 2
        refused = CliRunner().invoke(command, [url, "--json", instances, "--explain", *home])
        assert "expected an endpoint's name with --explain" in refused.output
        refused = CliRunner().invoke(command, ["tiny", "--csv", "rows.csv", "--explain", *home])
        assert "expected --json with --explain" in refused.output


def test_another_model_than_the_servers_is_not_passed_off_as_its(bundles: dict[str, Path], tmp_path: Path) -> None:
    instances = random_instances(INPUTS, 1, seed=3)
    with pytest.raises(HeadraceError, match=r"expected the server's model, which answers 1e\+06. Received: another"):
        explained_answers(str(bundles["regression"]), tmp_path, instances, [{"value": 1e6}])


def test_it_is_the_same_each_time(bundles: dict[str, Path]) -> None:
    bundle, instances = Bundle.open(bundles["binary"]), random_instances(INPUTS, 2, seed=4)
    assert explain_instances(bundle, instances) == explain_instances(bundle, instances)
