"""The model that answers in these tests; one of pictures stands where it is asked."""

import pytest

from headrace.artifacts.bundle import Bundle
from tests.unit.serving.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))
