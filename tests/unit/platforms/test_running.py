"""The seam to where pipelines run: its addresses, its patience, and that no secret gets through its errors."""

import pytest

from headrace.platforms.running import (
    FAILED,
    RUNNING,
    SUCCEEDED,
    RunsError,
    Submitted,
    TaskState,
    Where,
    open_runs,
    wait_for,
    without_secrets,
)


class Scripted:
    """Runs that say one thing after another; an exception is raised."""

    def __init__(self, *says):
        self.says = list(says)

    def get(self, run):
        said = self.says[0]
        if isinstance(said, Exception):
            self.says.pop(0)
            raise said
        return Submitted(run, "", said[0])

    def tasks(self, run):
        return self.says.pop(0)[1]


def watched(*says, patience=5):
    seen, pauses = [], []
    ended = wait_for(
        Scripted(*says), "r", lambda run, tasks: seen.append((run.state, tasks)), patience=patience, pause=pauses.append
    )
    return ended, seen, pauses


def test_tells_of_each_change_once_and_of_the_end():
    train = TaskState("train", RUNNING)
    ended, seen, pauses = watched((RUNNING, []), (RUNNING, []), (RUNNING, [train]), (SUCCEEDED, [train]))
    assert ended.state == SUCCEEDED
    assert seen == [(RUNNING, []), (RUNNING, [train]), (SUCCEEDED, [train])]
    assert pauses == [5.0, 5.0, 5.0]


def test_a_platform_may_be_away_for_a_moment():
    away = RunsError("503")
    ended, seen, _ = watched((RUNNING, []), away, away, (FAILED, []), patience=3)
    assert (ended.state, len(seen)) == (FAILED, 2)


def test_a_platform_that_stays_away_is_an_error():
    with pytest.raises(RunsError, match="503"):
        watched((RUNNING, []), *[RunsError("503")] * 3, (SUCCEEDED, []), patience=3)


def test_who_does_not_answer_is_asked_less_and_less_often():
    away = RunsError("503")
    assert watched((RUNNING, []), *[away] * 4, (SUCCEEDED, []))[2] == [5, 5, 10, 20, 40]
    assert max(watched(*[away] * 9, (SUCCEEDED, []), patience=10)[2]) == 60


@pytest.mark.parametrize(
    ("uri", "where"),
    [
        ("vertex:acme/europe-west4", Where("vertex", project="acme", location="europe-west4")),
        (
            "vertex:acme/us-central1?endpoint=http://127.0.0.1:8971",
            Where("vertex", project="acme", location="us-central1", endpoint="http://127.0.0.1:8971"),
        ),
        (
            "kubeflow:https://kf.example/pipeline?namespace=team",
            Where("kubeflow", endpoint="https://kf.example/pipeline", namespace="team"),
        ),
    ],
)
def test_places_have_addresses(uri, where):
    assert Where.of(uri) == where


@pytest.mark.parametrize("uri", ["local", "vertex:", "vertex:acme", "vertex:a/b?token=abc", "kubeflow:?namespace=a"])
def test_other_addresses_are_refused_without_their_parameters(uri):
    with pytest.raises(RunsError, match="where runs are: expected") as caught:
        Where.of(uri)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (Where("vertex", project="p"), "no location"),
        (Where("kubeflow"), "expected the address"),
        (Where("local"), "expected kubeflow or vertex"),
    ],
)
def test_opening_says_what_is_missing(where, words):
    with pytest.raises(RunsError, match=words):
        open_runs(where)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cret-s3cret",
        "{'Authorization': 'Bearer s3cret-s3cret', 'x': 1}",
        "request to https://user:s3cret-s3cret@kf.example/apis failed",
        "https://storage.googleapis.com/b/o?X-Goog-Signature=s3cret-s3cret&X-Goog-Date=2026",
        "cookie: authservice_session=s3cret-s3cret",
        "got ya29.s3cret-s3cret",
        "the answer was s3cret-s3cret",
    ],
)
def test_no_secret_is_in_an_error(text, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "s3cret-s3cret")
    shown = str(RunsError(text))
    assert "s3cret" not in shown and "***" in shown


def test_what_is_no_secret_stays():
    text = "vertex acme/europe-west4: expected roles/aiplatform.user. Received: 403 for https://host/v1/x?filter=a=b"
    assert without_secrets(text) == text
