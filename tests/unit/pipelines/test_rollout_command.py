"""What `headrace rollout` says where nothing has begun."""

import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.rollout import command


def test_an_endpoint_without_a_rollout_is_told_with_what_begins_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    words = (
        r"endpoint churn: expected one where a rollout has begun \(none yet\). Received: one without; "
        "`headrace rollout start churn` begins with the version that a push gave its first share"
    )
    with pytest.raises(HeadraceError, match=words):
        CliRunner().invoke(command, ["status", "churn"], catch_exceptions=False)
