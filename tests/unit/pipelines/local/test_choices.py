"""A module that is chosen by name is code of the task always, and imported beforehand only where a pipeline names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from headrace.pipelines.compile import training_ir
from headrace.pipelines.local.ir.reading import read_graph
from headrace.pipelines.local.store.closure import Closures, default_closures
from headrace.pipelines.local.store.imports import CHOICE, direct_imports
from headrace.pipelines.spec import load_spec

SOURCE = "def f():\n    from headrace.choose import fit\n"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "",
        "choose.py": 'KINDS = {"a": "headrace.kinds.trees", "b": "headrace.kinds.net"}\nNONE = "headrace.nothing.of.this"\n',
        "kinds/__init__.py": "",
        "kinds/trees.py": "import lightgbm\n",
        "kinds/net.py": "import tensorflow\nfrom headrace import shared\nMORE = 'headrace.kinds.deep'\n",
        "kinds/deep.py": "import keras\n",
        "shared.py": "import numpy\n",
    }
    for name, text in files.items():
        (tmp_path / "headrace" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "headrace" / name).write_text(text)
    return tmp_path / "headrace"


def test_a_whole_name_in_a_text_is_a_choice() -> None:
    assert direct_imports('x = "headrace.a.b"') == (("headrace.a.b", (CHOICE,), False),)
    assert direct_imports('"headrace.a.b and more"; "headrace"; f"headrace.{x}"') == ()


def test_the_code_of_every_choice_counts(package: Path) -> None:
    closures = Closures({"headrace": package})
    before = closures.of_source(SOURCE)
    names = {file.name for file in closures.files}
    assert {"choose.py", "trees.py", "net.py", "deep.py", "shared.py"} <= names
    (package / "kinds" / "net.py").write_text("import tensorflow.math\n")
    assert Closures({"headrace": package}).of_source(SOURCE).digest != before.digest


def test_what_is_chosen_is_imported_where_it_is_named(package: Path) -> None:
    found = Closures({"headrace": package}).of_source(SOURCE)
    assert not {"lightgbm", "tensorflow", "keras", "numpy"} & set(found.preload)
    assert {"lightgbm", "tensorflow"} & set(found.preload_for({"trees"})) == {"lightgbm"}
    net = found.preload_for({"net", "something else"})
    assert {"tensorflow", "numpy", "headrace.kinds.net"} <= set(net) and "keras" not in net
    assert not set(net) & {"headrace.kinds.net"} & set(found.needs)


def test_a_light_step_waits_for_what_is_named_and_a_heavy_one_does_not(package: Path) -> None:
    (package / "kinds" / "trees.py").write_text("import json\n")
    light = Closures({"headrace": package}).of_source(SOURCE)
    assert "headrace.kinds.trees" in light.needs_for({"trees"})
    assert light.needs_for({"nothing"}) == light.needs
    (package / "choose.py").write_text("import numpy\n" + (package / "choose.py").read_text())
    heavy = Closures({"headrace": package}).of_source(SOURCE)
    assert heavy.needs_for({"trees"}) == heavy.needs
    assert "headrace.kinds.trees" in heavy.preload_for({"trees"})


def test_a_step_on_a_platform_imports_that_of_its_own() -> None:
    source = "def f():\n    from headrace.platforms.open import open_platform\n"
    found = default_closures().of_source(source)
    assert "headrace.platforms.local.platform" in found.needs_for({"local"})
    assert not [m for m in found.preload_for({"local"}) if "kubeflow" in m or "vertex" in m]


@pytest.mark.parametrize(("model", "imports"), [("gbdt", False), ("linear", False), ("mlp", True)])
def test_tensorflow_is_imported_beforehand_only_for_networks(tmp_path: Path, model: str, imports: bool) -> None:
    (tmp_path / "spec.yaml").write_text(
        f"name: x\ntask: classification\ndata: {{source: x.csv, label: y}}\ntrain: {{model: {model}}}\n"
    )
    graph = read_graph(next(yaml.safe_load_all(training_ir(load_spec(tmp_path / "spec.yaml"), ""))))
    assert model in graph.words
    closures = default_closures()
    heavy = {"tensorflow", "keras", "tf2onnx"}
    for component in graph.components.values():
        if component.executor is None or not component.executor.command:
            continue
        source = component.executor.command[-1]
        found = heavy & set(closures.of_source(source).preload_for(graph.words))
        assert found == (heavy if imports and "comp-train" in component.name else set()), component.name
