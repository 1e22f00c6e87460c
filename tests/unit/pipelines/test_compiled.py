"""The cache of compiled specs: used when nothing changed, never when anything did."""

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.compiled import compiled

SPEC = "name: m\ntask: classification\ndata:\n  source: t.csv\n  label: y\n"


@pytest.fixture
def spec(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    return file


def compile_counted(spec, home):
    """(the pipeline, whether it was compiled anew)"""
    calls = []
    found = compiled(spec, home, lambda: calls.append(1))
    return found, bool(calls)


def test_compiled_once(spec, tmp_path):
    home = tmp_path / "home"
    first, anew = compile_counted(spec, home)
    assert anew
    assert (first.name, first.parameters) == ("m", {"source": str(tmp_path / "t.csv")})
    assert (first.schema, first.has_schema) == (tmp_path / "schema.pbtxt", False)
    again, anew = compile_counted(spec, home)
    assert not anew
    assert again == first


def test_a_changed_spec_or_image_compiles_anew(spec, tmp_path, monkeypatch):
    home = tmp_path / "home"
    compile_counted(spec, home)
    monkeypatch.setenv("HEADRACE_IMAGE_MAIN", "registry.test/main@sha256:0")
    assert compile_counted(spec, home)[1]
    monkeypatch.delenv("HEADRACE_IMAGE_MAIN")
    assert not compile_counted(spec, home)[1]
    spec.write_text(SPEC + "# a word\n")
    assert compile_counted(spec, home)[1]


def test_a_new_schema_compiles_anew_and_a_damaged_one_is_refused(spec, tmp_path):
    home = tmp_path / "home"
    compile_counted(spec, home)
    (tmp_path / "schema.pbtxt").write_text("feature {{")
    with pytest.raises(HeadraceError, match="schema.pbtxt"):
        compiled(spec, home)


def test_a_mistake_is_found_before_anything_is_started(spec, tmp_path):
    spec.write_text(SPEC + "trian: 1\n")
    calls = []
    with pytest.raises(HeadraceError, match="did you mean `train`"):
        compiled(spec, tmp_path / "home", lambda: calls.append(1))
    assert calls == []
    assert not (tmp_path / "home").exists()


def test_a_compiled_pipeline_is_taken_as_it_is(tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text("pipelineInfo: {name: other}\nroot: {dag: {}}\ndeploymentSpec: {executors: {}}\n")
    found = compiled(file, tmp_path / "home")
    assert (found.name, found.parameters, found.schema) == ("other", {}, None)
    assert not (tmp_path / "home").exists()
