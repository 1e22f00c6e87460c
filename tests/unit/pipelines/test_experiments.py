import json

import pytest
import yaml
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.experiments import command
from headrace.pipelines.compile import training_ir
from headrace.pipelines.experiments import compare_text, list_text, show_text
from headrace.pipelines.spec import Spec
from headrace.platforms.open_tracker import open_tracker
from headrace.platforms.tracking import Attached, Series, TrackedRun

FIRST = TrackedRun(
    "churn",
    "run-1",
    1_795_000_000.0,
    1_795_000_010.0,
    parameters={"model": "gbdt", "learning_rate": "0.05"},
    metrics={"test/auc": 0.80, "test/auc_low": 0.78, "test/auc_high": 0.82, "test/log_loss": 0.5, "baseline/auc": 0.5},
    series={"curve/eval_log_loss": Series((1, 2, 3), (0.7, 0.5, 0.6))},
    tags={"headrace.data": "sha256:" + "ab" * 32, "headrace.commit": "c0ffee"},
)
SECOND = TrackedRun(
    "churn",
    "run-2",
    1_795_000_100.0,
    1_795_000_110.0,
    parameters={"model": "gbdt", "learning_rate": "0.3", "depth": "4"},
    metrics={
        "test/auc": 0.85,
        "test/auc_low": 0.83,
        "test/auc_high": 0.87,
        "test/log_loss": 0.6,
        "test/log_loss_low": 0.55,
        "test/log_loss_high": 0.65,
    },
    tags={"headrace.data": "sha256:" + "ab" * 32, "headrace.commit": "beef", "idea": "deeper"},
)


def test_compare():
    lines = compare_text([FIRST, SECOND])
    text = "\n".join(lines)
    assert "  learning_rate  0.05  0.3" in lines and "  depth          -     4" in lines
    assert "gbdt" not in text and "sha256" not in text  # the same in both
    assert "  commit  c0ffee  beef" in lines and "  idea  -  deeper" in lines
    [auc] = [line for line in lines if line.startswith("  auc ")]
    assert auc.split("  ")[-1].strip() == "0.85 (0.83 to 0.87) +0.05 better"
    [loss] = [line for line in lines if line.startswith("  log_loss ")]
    assert loss.endswith("0.6 (0.55 to 0.65) +0.1 worse")
    assert "baseline" not in text and "baseline/auc" in "\n".join(compare_text([FIRST, SECOND], everything=True))


def test_what_may_be_chance_is_called_neither():
    metrics = {**SECOND.metrics, "test/auc_low": 0.79}
    [auc] = [
        line for line in compare_text([FIRST, TrackedRun(**{**vars(SECOND), "metrics": metrics})]) if " auc " in line
    ]
    assert auc.endswith("+0.05")


def test_nothing_differs():
    lines = compare_text([FIRST, FIRST])
    assert "Parameters: the same" in lines and "Tags: none" in lines


def test_list():
    head, first = list_text([FIRST])
    assert head.split() == ["RUN", "EXPERIMENT", "STARTED", "MODEL", "auc", "log_loss", "baseline/auc"]
    assert first.split()[:2] == ["run-1", "churn"] and first.split()[-4:] == ["gbdt", "0.8", "0.5", "0.5"]


def test_show():
    text = "\n".join(show_text(FIRST))
    assert "auc           0.8 (0.78 to 0.82)" in text and "data    sha256:abababababab" in text
    assert "curve/eval_log_loss: 0.7 to 0.6 in 3 rounds, least 0.5" in text


@pytest.fixture
def home(tmp_path):
    tracker = open_tracker("local", tmp_path)
    for run in (FIRST, SECOND):
        tracker.save(run, Attached())
    return tmp_path


def call(home, *words):
    result = CliRunner().invoke(command, [*words, "--home", str(home)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command(home):
    assert [line.split()[0] for line in call(home, "list").splitlines()] == ["RUN", "run-2", "run-1"]
    assert [json.loads(line)["run"] for line in call(home, "list", "churn", "--json", "-n", "1").splitlines()] == [
        "run-2"
    ]
    assert call(home, "show").startswith("run-2 of churn")
    shown = json.loads(call(home, "show", "run-1", "--json"))
    assert shown["series"]["curve/eval_log_loss"] == {"steps": [1, 2, 3], "values": [0.7, 0.5, 0.6]}
    assert call(home, "compare").split()[:2] == ["run-1", "run-2"]  # the latest two, the earlier first
    assert call(home, "compare", "run-2", "run-1").split()[:2] == ["run-2", "run-1"]


def test_compare_wants_two(home, tmp_path):
    assert CliRunner().invoke(command, ["compare", "run-1", "--home", str(home)]).exit_code == 2
    open_tracker("local", tmp_path / "one").save(FIRST, Attached())
    with pytest.raises(HeadraceError, match="expected two tracked runs of one experiment. Received: 1"):
        call(tmp_path / "one", "compare")


def test_ui_without_runs(tmp_path):
    with pytest.raises(HeadraceError, match="`headrace run SPEC` makes one"):
        call(tmp_path, "ui")


@pytest.mark.parametrize(("track", "trackers"), [({}, ["local"]), ({"mlflow": "none"}, None)])
def test_the_pipeline_tracks_what_the_spec_says(track, trackers):
    fields = {"name": "churn", "task": "regression", "data": {"source": "a.csv", "label": "y"}, "track": track}
    ir = yaml.safe_load(training_ir(Spec.model_validate(fields), ""))
    tasks = ir["root"]["dag"]["tasks"]
    if trackers is None:
        assert "track" not in tasks
        return
    given = tasks["track"]["inputs"]["parameters"]
    assert given["trackers"]["runtimeValue"]["constant"] == trackers
    assert given["experiment"]["runtimeValue"]["constant"] == "churn"
    assert given["spec"]["runtimeValue"]["constant"]["train"]["seed"] == 0  # every default is spelt out
    assert not tasks["track"]["cachingOptions"].get("enableCache", False)
    waits = {task for task in tasks if "track" in tasks[task].get("dependentTasks", ())}
    assert waits == set()  # neither gate nor push wait for a tracker
