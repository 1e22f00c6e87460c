"""The cache of compiled specs: used when nothing changed, never when anything did."""

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines import compiled as compiled_module
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
    before = written(home)
    found = compiled(spec, home, lambda: calls.append(1))
    assert calls == [1], "of a spec without mistakes, its caller is told once"
    return found, written(home) != before


def written(home):
    return {file.name: file.stat().st_mtime_ns for file in home.glob("compiled/*.json")}


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


LOADED = """
import sys
from pathlib import Path
from headrace.pipelines.compile import training_ir
from headrace.pipelines.spec import load_spec
training_ir(load_spec(Path(sys.argv[1])), "")
for module in list(sys.modules.values()):
    if module.__name__.startswith("headrace.") and getattr(module, "__file__", None):
        print(Path(module.__file__).resolve())
"""


def test_whatever_code_compiles_is_part_of_the_key(spec):
    from headrace.pipelines.compiled import _CODE

    root = Path(compiled_module.__file__).resolve().parent.parent
    known = {path for pattern in _CODE for path in root.glob(pattern)}
    done = subprocess.run([sys.executable, "-c", LOADED, spec], capture_output=True, text=True, check=True)
    loaded = {Path(line) for line in done.stdout.splitlines() if line.startswith(str(root))}
    assert root / "trainer" / "parameters.py" in loaded
    assert not loaded - known


def test_of_a_spec_with_a_mistake_nobody_is_told(spec, tmp_path):
    calls = []
    spec.write_text(SPEC + "trian: {}\n")
    with pytest.raises(HeadraceError, match="trian"):
        compiled(spec, tmp_path / "home", lambda: calls.append(1))
    assert not calls


def test_a_new_schema_compiles_anew_and_a_damaged_one_is_refused(spec, tmp_path):
    home = tmp_path / "home"
    compile_counted(spec, home)
    (tmp_path / "schema.pbtxt").write_text("feature {{")
    with pytest.raises(HeadraceError, match="schema.pbtxt"):
        compiled(spec, home)


def test_a_changed_function_of_a_check_compiles_anew_and_its_text_travels(spec, tmp_path):
    home, functions = tmp_path / "home", tmp_path / "mine.py"
    spec.write_text(SPEC + "validate: {checks: [{name: ages, function: 'mine.py:ages'}]}\n")
    with pytest.raises(HeadraceError, match=r"mine.py: expected the file of a check"):
        compiled(spec, home)
    functions.write_text("def ages(data):\n    return True\n")
    found, anew = compile_counted(spec, home)
    assert anew
    assert "return True" in str(found.ir)
    assert not compile_counted(spec, home)[1]
    functions.write_text("def ages(data):\n    return False\n")
    found, anew = compile_counted(spec, home)
    assert anew
    assert "return False" in str(found.ir)
    functions.unlink()
    with pytest.raises(HeadraceError, match=r"mine.py: expected the file of a check"):
        compiled(spec, home)


def test_only_an_age_makes_the_examination_depend_on_the_time(spec, tmp_path):
    def examination():
        found, _ = compile_counted(spec, tmp_path / "home")
        task = found.ir["root"]["dag"]["tasks"]["examine"]
        return task["cachingOptions"], task["inputs"]["parameters"]["now"]["runtimeValue"]["constant"]

    assert examination() == ({"enableCache": True}, "")
    spec.write_text(SPEC + "validate: {freshness: {column: at, max_age: 7d}}\n")
    caching, now = examination()
    assert not caching.get("enableCache")
    assert now == "{{$.pipeline_job_create_time_utc}}"


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


def test_logged_requests_have_tasks_where_the_spec_names_them_and_lie_beside_it(spec, tmp_path):
    found, _ = compile_counted(spec, tmp_path / "home")
    assert "logged-requests" not in found.ir["root"]["dag"]["tasks"]
    spec.write_text(SPEC + "validate: {requests: logs}\n")
    found, _ = compile_counted(spec, tmp_path / "home")
    assert found.parameters["requests"] == str(tmp_path / "logs")
    assert compile_counted(spec, tmp_path / "home")[0].parameters == found.parameters
    tasks = found.ir["root"]["dag"]["tasks"]
    assert (
        tasks["examine"]["inputs"]["artifacts"]["requests"]["taskOutputArtifact"]["producerTask"] == "logged-requests"
    )
    version = tasks["logged-requests"]["inputs"]["parameters"]["source_digest"]["taskOutputParameter"]["producerTask"]
    assert tasks[version]["taskInfo"]["name"] == "fingerprint-requests"
    assert not tasks[version]["cachingOptions"].get("enableCache")  # else no new log would ever be seen
    # Where they lie is no part of what a check depends on.
    assert "requests" not in tasks["check"]["inputs"]["parameters"]["validate"]["runtimeValue"]["constant"]


@pytest.mark.parametrize("text", ["[note]", "{note: }", "{note: {ngrams: [1, 2]}}"])
def test_columns_of_texts_compile_with_and_without_options(text, spec, tmp_path):
    spec.write_text(SPEC + f"features: {{text: {text}}}\n")
    found, _ = compile_counted(spec, tmp_path / "home")
    features = found.ir["root"]["dag"]["tasks"]["transform"]["inputs"]["parameters"]["features"]
    assert list(features["runtimeValue"]["constant"]["text"]) == ["note"]
