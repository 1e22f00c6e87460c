"""Fixtures for tests of one's own: an emulator with an empty state, and the clients' libraries pointed at it.

    def test_the_pipeline_runs(headrace_emulator):
        headrace_emulator.connect(project="demo")
        aiplatform.PipelineJob(...).run()

pytest loads this module at each start (entry point `pytest11`), so it loads nothing itself.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False  # as in typing, which is not loaded for it
if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.emulator.running import RunningEmulator


@pytest.fixture
def headrace_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator of this test alone, on a free port, with nothing in it."""
    from headrace.emulator.running import running

    with running(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def headrace_emulator_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """The same, one for all tests of a session (and of a worker of pytest-xdist): they find what others have made."""
    from headrace.emulator.running import running

    with running(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator
