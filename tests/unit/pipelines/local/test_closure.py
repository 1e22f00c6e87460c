"""The code of a task: which files are part of its digest, and what a warm worker imports for it."""

import pytest

from headrace.pipelines.local.store.closure import Closures, default_closures, direct_imports


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


def test_files_that_are_reached(package):
    found = {str(file.relative_to(package)) for file in closure(package).files}
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


def test_remembered_imports_are_not_parsed_again(package):
    first = Closures({"house": package})
    closure_of_first = first.of_source(SOURCE)
    assert first.learned
    second = Closures({"house": package}, remembered=first.learned)
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
        ("this is not Python", ()),
    ],
)
def test_direct_imports(source, expected):
    assert direct_imports(source) == expected


def test_our_own_package_is_followed_and_ingest_does_not_reach_the_runner():
    found = default_closures().of_source("def f():\n    from headrace.artifacts.folder import seal\n")
    names = {file.name for file in found.files}
    assert {"errors.py", "folder.py"} <= names
    assert "runner.py" not in names
    assert not any("pipelines" in file.parts for file in found.files)
