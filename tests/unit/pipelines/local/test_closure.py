"""The code of a task: which files are part of its digest, and what a warm worker imports for it."""

import os
import time

import pytest

from headrace.pipelines.local.store import known_closures
from headrace.pipelines.local.store.closure import Closures, default_closures
from headrace.pipelines.local.store.imports import direct_imports


@pytest.fixture
def package(tmp_path):
    files = {
        "house/__init__.py": "",
        "house/ingest/__init__.py": "",
        "house/ingest/work.py": (
            "from house.nouns import table\nfrom . import helper\ndef f():\n    import pandas.api"
        ),
        "house/ingest/helper.py": "import pyarrow\n",
        "house/ingest/page.css": "a {}",
        "house/ingest/Dockerfile": "FROM x",
        "house/nouns/__init__.py": "",
        "house/nouns/table.py": "from ..lazy import late\ndef f():\n    from house import train\n",
        "house/lazy.py": "def late():\n    import sklearn.metrics\n    import google.cloud.storage\n",
        "house/train/__init__.py": "import lightgbm\n",
        "house/push/__init__.py": "import onnx\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "house"


SOURCE = "from kfp import dsl\nimport json\n\ndef ingest():\n    from house.ingest.work import f\n    f()\n"


def closure(package, source=SOURCE):
    return Closures({"house": package}).of_source(source)


def files(closures, source=SOURCE):
    closures.of_source(source)
    return closures.files


def test_files_that_are_reached(package):
    found = {str(file.relative_to(package)) for file in files(Closures({"house": package}))}
    assert found == {
        "__init__.py",
        "ingest/__init__.py",
        "ingest/work.py",
        "ingest/helper.py",
        "ingest/page.css",
        "nouns/__init__.py",
        "nouns/table.py",
        "lazy.py",
        "train/__init__.py",
    }


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ingest/helper.py", True),
        ("nouns/table.py", True),
        ("lazy.py", True),
        ("ingest/page.css", True),
        ("train/__init__.py", True),
        ("ingest/__init__.py", True),
        ("ingest/Dockerfile", False),
        ("push/__init__.py", False),
    ],
)
def test_a_change_changes_the_digest_of_what_reaches_it(package, name, changes):
    before = closure(package).digest
    with (package / name).open("a") as file:
        file.write("\n# changed\n")
    assert (closure(package).digest != before) is changes


def test_a_new_file_beside_a_module_counts_only_as_data(package):
    before = closure(package).digest
    (package / "ingest" / "unused.py").write_text("")
    assert closure(package).digest == before
    (package / "ingest" / "page.html").write_text("")
    assert closure(package).digest != before


def test_the_digest_does_not_depend_on_where_the_code_lies(package, tmp_path):
    other = tmp_path / "elsewhere" / "house"
    other.parent.mkdir()
    before = closure(package).digest
    package.rename(other)
    assert closure(other).digest == before


def test_the_source_itself_counts(package):
    assert closure(package).digest != closure(package, SOURCE + "# changed\n").digest


def test_what_is_imported_beforehand(package):
    found = closure(package)
    assert found.needs[0] == "pyarrow"
    assert set(found.needs[1:]) == {
        "house",
        "house.ingest",
        "house.ingest.work",
        "house.ingest.helper",
        "house.nouns",
        "house.nouns.table",
        "house.lazy",
    }
    assert set(found.preload) - set(found.needs) == {
        "pandas.api",
        "sklearn.metrics",
        "lightgbm",
        "house.train",
    }


LIGHT = "def ask():\n    from house.ask import ask\n"


@pytest.fixture
def light(package):
    (package / "ask.py").write_text(
        "from house.nouns import table\nAT = {'here': 'house.near'}\n"
        "def ask():\n    import requests\n    import pandas\n    from house import own, frames\n"
    )
    (package / "own.py").write_text("import json\n")
    (package / "frames.py").write_text("import pandas\n")
    return package


def test_a_step_that_is_sure_to_need_nobody_elses_module_gets_none_of_them_beforehand(light):
    (light / "lazy.py").write_text("def late():\n    import sklearn.metrics\n")
    found = closure(light, LIGHT)
    assert found.light
    assert {"house.ask", "house.own"} <= set(found.preload)
    # Neither what it may need of others on its way, nor what of ours cannot be had without.
    assert not {"requests", "pandas", "sklearn.metrics", "house.frames", "lightgbm"} & set(found.preload)


def test_one_that_needs_others_gets_what_it_may_need_as_well_but_no_client_of_a_service(light):
    (light / "ask.py").write_text("import numpy\n" + (light / "ask.py").read_text())
    (light / "cloud.py").write_text("import google.cloud.storage\n")
    (light / "far.py").write_text("from house.cloud import x\n")
    (light / "own.py").write_text("def f():\n    import house.far\n")
    found = closure(light, LIGHT)
    assert not found.light
    assert {"numpy", "pandas", "house.frames", "house.own"} <= set(found.preload)
    assert not {"requests", "house.cloud", "house.far", "google.cloud.storage"} & set(found.preload)


def test_what_is_found_again_in_memory_is_the_same_and_nothing_is_read(package, tmp_path):
    memory = tmp_path / "closures.json"
    settled(package)
    first = Closures({"house": package}, memory=memory)
    before = first.of_source(SOURCE)
    first.keep()
    second = Closures({"house": package}, memory=memory)
    assert second.of_source(SOURCE).preload_for(set()) == before.preload_for(set())
    assert second.of_source(SOURCE).digest == before.digest
    assert second.files == []


def settled(package):
    """Waits until what was just written is old enough to be relied on."""
    newest = max(file.stat().st_ctime_ns for file in [package, *package.rglob("*")])
    while time.time_ns() - newest <= known_closures.SETTLED:
        time.sleep(0.05)


@pytest.mark.parametrize("change", ["content", "same size", "new file", "new data", "removed", "elsewhere", "damaged"])
def test_memory_does_not_hold_once_anything_has_changed(package, tmp_path, change):
    memory = tmp_path / "closures.json"
    settled(package)
    first = Closures({"house": package}, memory=memory)
    before = first.of_source(SOURCE)
    first.keep()
    assert memory.exists()
    helper = package / "ingest" / "helper.py"
    if change == "content":
        helper.write_text("import pyarrow.compute\n")
    elif change == "same size":
        times = helper.stat()
        helper.write_text("import pandas_\n")
        os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "new file":
        (package / "ingest" / "work").mkdir()
        (package / "ingest" / "work" / "__init__.py").write_text("import duckdb\n")
    elif change == "new data":
        (package / "ingest" / "query.sql").write_text("SELECT 1")
    elif change == "removed":
        helper.unlink()
    elif change == "elsewhere":
        package = package.rename(tmp_path / "moved")
    else:
        memory.write_text('{"form": 1')
    again = Closures({"house": package}, memory=memory)
    found = again.of_source(SOURCE)
    assert again.files
    assert (found.digest == before.digest) is (change in ("elsewhere", "damaged"))


def test_what_was_written_only_just_before_is_not_relied_on(package, tmp_path):
    memory = tmp_path / "closures.json"
    closures = Closures({"house": package}, memory=memory)
    closures.of_source(SOURCE)
    closures.keep()
    assert not memory.exists()


def test_a_disk_without_room_is_no_reason_to_fail(package, tmp_path):
    settled(package)
    (tmp_path / "file").write_text("")
    closures = Closures({"house": package}, memory=tmp_path / "file" / "closures.json")
    closures.of_source(SOURCE)
    closures.keep()


def test_remembered_imports_are_not_parsed_again(package):
    first = Closures({"house": package})
    closure_of_first = first.of_source(SOURCE)
    assert first.learned
    second = Closures({"house": package}, remembered=lambda: first.learned)
    assert second.of_source(SOURCE) == closure_of_first
    assert second.learned == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b as c", (("a.b", (), True),)),
        ("from a import b, c", (("a", ("b", "c"), True),)),
        ("from .. import x", (("..", ("x",), True),)),
        ("def f():\n    import a", (("a", (), False),)),
        ("class C:\n    import a", (("a", (), True),)),
        ("try:\n    import a\nexcept ImportError:\n    import b", (("a", (), True), ("b", (), True))),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a",
            (("typing", ("TYPE_CHECKING",), True),),
        ),
        ("import tensorflow as tf\ntf.keras.Model()", (("tensorflow", (), True), ("keras", (), False))),
        ("match x:\n    case 1:\n        import a\nwith y:\n    import b", (("a", (), True), ("b", (), True))),
        (
            "import typing\nif typing.TYPE_CHECKING:\n    import a\nelse:\n    import b",
            (("typing", (), True), ("b", (), True)),
        ),
        ("async def f():\n    if x:\n        import a", (("a", (), False),)),
        ('"""An example:\n\nimport a\n"""', ()),
        ("this is not Python", ()),
    ],
)
def test_direct_imports(source, expected):
    assert direct_imports(source) == expected


def test_our_own_package_is_followed_and_ingest_does_not_reach_the_runner():
    found = files(default_closures(), "def f():\n    from headrace.artifacts.folder import seal\n")
    names = {file.name for file in found}
    assert {"errors.py", "folder.py"} <= names
    assert "runner.py" not in names
    assert not any("pipelines" in file.parts for file in found)
