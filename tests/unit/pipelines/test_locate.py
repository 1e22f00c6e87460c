"""Names on the command line: bundles and servers."""

import json
import subprocess

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.locate import find_address, follow, locate_bundle, record_address


def test_a_folder_with_a_bundle_is_one(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").touch()
    assert locate_bundle(str(tmp_path / "bundle"), tmp_path / "home") == tmp_path / "bundle"


def test_nothing_of_that_name(tmp_path):
    with pytest.raises(HeadraceError) as caught:
        locate_bundle("churn", tmp_path)
    assert str(caught.value) == (
        "expected an endpoint, a model or a bundle's folder. Received: churn; "
        f"in {tmp_path} there is none yet; `headrace run SPEC` makes one"
    )


def test_a_server_is_found_while_its_process_lives(tmp_path):
    file = record_address("churn:2/x", "http://127.0.0.1:1", tmp_path)
    assert file.parent == tmp_path / "servers"
    assert find_address("churn:2/x", tmp_path) == "http://127.0.0.1:1"
    process = subprocess.Popen(["true"])
    process.wait()
    file.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": process.pid}))
    for damage in (None, "{", "{}", "[]"):
        if damage is not None:
            file.write_text(damage)
        with pytest.raises(HeadraceError, match="expected a running server. Received: none; start it with"):
            find_address("churn:2/x", tmp_path)


def test_a_home_that_is_missing_is_not_made_by_following(tmp_path):
    wanted = follow("front", tmp_path / "unmounted")
    assert wanted is not None
    for _ in range(2):
        with pytest.raises(HeadraceError, match=r"Received: front; in .*unmounted there is none yet"):
            wanted()
    assert list(tmp_path.iterdir()) == []
