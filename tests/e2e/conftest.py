"""A trained churn model, once per session. It is copied by whoever changes it."""

from pathlib import Path

import pytest

from tests.e2e.projects import Project, churn


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small churn project after its first run, which pushed version 1. Not to be changed: see `own`."""
    project = churn(tmp_path_factory.mktemp("trained") / "churn")
    project.headrace("run", "spec.yaml").ok()
    return project


@pytest.fixture
def own(trained: Project, tmp_path: Path) -> Project:
    """A copy of the trained project, to be changed as one likes."""
    return trained.copy(tmp_path / "churn")
