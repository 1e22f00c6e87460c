"""A trained churn model, once per session. It is copied by whoever changes it."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.e2e.projects import Project, churn


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small churn project after its first run, which pushed version 1. Not to be changed: see `own`."""
    workers = "PYTEST_XDIST_WORKER" in os.environ  # theirs have one folder above them, and the first of them trains
    place = tmp_path_factory.getbasetemp().parent / "trained" if workers else tmp_path_factory.mktemp("trained")
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            project = churn(place / "churn")
            project.headrace("run", "spec.yaml").ok()
            (place / "done").touch()
    return Project(place / "churn")


@pytest.fixture
def own(trained: Project, tmp_path: Path) -> Project:
    """A copy of the trained project, to be changed as one likes."""
    return trained.copy(tmp_path / "churn")
