"""The small parts: values, placeholders, commands, environments, digests."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.local.ir.commands import recognize
from headrace.pipelines.local.ir.placeholders import (
    PlaceholderError,
    resolve_command,
    resolve_text,
    resolve_value,
)
from headrace.pipelines.local.ir.values import ValueMismatch, cast, tidy
from headrace.pipelines.local.store import digests
from headrace.pipelines.local.store.attempts import safe_name
from headrace.pipelines.local.workers import environments
from headrace.pipelines.local.workers.environments import Environments, UnknownEnvironment
from headrace.pipelines.local.workers.processes import identify, myself

# --- values


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1.0, "NUMBER_INTEGER", 1),
        ("12", "NUMBER_INTEGER", 12),
        (" -3.0\n", "NUMBER_INTEGER", -3),
        (1, "NUMBER_DOUBLE", 1.0),
        ("0.5", "NUMBER_DOUBLE", 0.5),
        ("x", "STRING", "x"),
        (3.0, "STRING", "3"),
        (True, "BOOLEAN", True),
        ("False", "BOOLEAN", False),
        (0.0, "BOOLEAN", False),
        ([1], "LIST", [1]),
        ("[1, 2]", "LIST", [1, 2]),
        ('{"a": 1}', "STRUCT", {"a": 1}),
        (None, "NUMBER_INTEGER", None),
        ("anything", "TASK_FINAL_STATUS", "anything"),
    ],
)
def test_cast(value, kind, expected):
    found = cast(value, kind, "x")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1.5, "NUMBER_INTEGER"),
        (True, "NUMBER_INTEGER"),
        ("many", "NUMBER_INTEGER"),
        ("1.5", "NUMBER_INTEGER"),
        (False, "NUMBER_DOUBLE"),
        ("nan", "NUMBER_DOUBLE"),
        ("yes", "BOOLEAN"),
        (2, "BOOLEAN"),
        ("a", "LIST"),
        ({}, "LIST"),
        ([], "STRUCT"),
        ("[", "STRUCT"),
        ("caf\udce9", "STRING"),
        ("caf\udce9", "TASK_FINAL_STATUS"),
        ('["caf\\udce9"]', "LIST"),
        ({"caf\udce9": 1}, "STRUCT"),
    ],
)
def test_cast_refuses(value, kind):
    with pytest.raises(ValueMismatch, match=r"^here: expected .*Received: ") as error:
        cast(value, kind, "here")
    str(error.value).encode()  # whatever it was given, the message can be written down


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_tidy_undoes_what_the_ir_does_to_integers(value):
    def as_ir(item):
        if isinstance(item, list):
            return [as_ir(i) for i in item]
        if isinstance(item, dict):
            return {k: as_ir(i) for k, i in item.items()}
        return float(item) if isinstance(item, int) and not isinstance(item, bool) else item

    assert tidy(as_ir(value)) == value


# --- placeholders

INPUT = {
    "inputs": {
        "parameterValues": {
            "s": "text {{$.inputs.parameters['n']}}",
            "n": 3,
            "l": [1, "a"],
            "none": None,
            "zero": 0,
        },
        "artifacts": {
            "data": {"artifacts": [{"uri": "/store/data", "metadata": {"k": 1}, "name": "data"}]},
            "empty": {},
        },
    },
    "outputs": {
        "parameters": {"o": {"outputFile": "/tmp/o"}},
        "artifacts": {"model": {"artifacts": [{"uri": "/tmp/model", "metadata": {}}]}},
        "outputFile": "/tmp/executor_output.json",
    },
}
CONSTANTS = {"{{$.pipeline_job_name}}": "churn"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {{$.inputs.parameters['n']}} b", "a 3 b"),
        ("{{$.inputs.parameters['l']}}", '[1, "a"]'),
        ("{{$.inputs.parameters['s']}}", "text {{$.inputs.parameters['n']}}"),
        ("{{$.inputs.artifacts['data'].path}}/x", "/store/data/x"),
        ("{{$.inputs.artifacts['data'].uri}}", "/store/data"),
        ("{{$.inputs.artifacts['data'].metadata}}", '{"k": 1}'),
        ("{{$.outputs.artifacts['model'].path}}", "/tmp/model"),
        ("{{$.outputs.parameters['o'].output_file}}", "/tmp/o"),
        ("{{$.outputs.output_file}}", "/tmp/executor_output.json"),
        ("{{$.pipeline_job_name}}", "churn"),
        ("no {{ placeholder }} and $HOME", "no {{ placeholder }} and $HOME"),
        ("{{$.Values.x}} {{$y}} {{$.x | quote}}", "{{$.Values.x}} {{$y}} {{$.x | quote}}"),
        ("{{$.inputs.parameters['n']}}{{$.inputs.parameters['n']}}", "33"),
        ("{{$.inputs.artifacts['data']}}", '[{"uri": "/store/data", "metadata": {"k": 1}, "name": "data"}]'),
        ("{{$.inputs.artifacts['data'].metadata['k']}}", "1"),
    ],
)
def test_placeholders(text, expected):
    assert resolve_text(text, INPUT, CONSTANTS) == expected


def test_the_whole_executor_input():
    assert json.loads(resolve_text("{{$}}", INPUT, CONSTANTS)) == INPUT


def test_a_lone_placeholder_keeps_its_type():
    assert resolve_value("{{$.inputs.parameters['n']}}", INPUT, CONSTANTS) == 3
    assert resolve_value(["{{$.inputs.parameters['l']}}", {"k": "{{$.pipeline_job_name}}"}], INPUT, CONSTANTS) == [
        [1, "a"],
        {"k": "churn"},
    ]
    assert resolve_value("{{$.inputs.parameters['n']}}{{$.inputs.parameters['n']}}", INPUT, CONSTANTS) == "33"


@pytest.mark.parametrize(
    "text",
    ["{{$.inputs.artifacts['other'].path}}", "{{$.outputs.parameters['o'].nothing}}", "{{$.pipeline_nonsense}}"],
)
def test_unknown_placeholders_are_errors(text):
    with pytest.raises(PlaceholderError, match="expected"):
        resolve_text(text, INPUT, CONSTANTS)


def test_concat_and_if_present():
    words = [
        '{"Concat": ["--n=", "{{$.inputs.parameters[\'n\']}}", {"IfPresent": {"InputName": "zero", "Then": "!"}}]}',
        '{"IfPresent": {"InputName": "none", "Then": ["--none"], "Else": ["--other", "{{$.inputs.parameters[\'n\']}}"]}}',
        '{"IfPresent": {"InputName": "none", "Then": "vanishes"}}',
        '{"IfPresent": {"InputName": "data", "Then": "there"}}',
    ]
    assert resolve_command(words, INPUT, CONSTANTS) == ["--n=3!", "--other", "3", "there"]


@given(st.text())
def test_values_are_never_resolved_again(value):
    given_input = {**INPUT, "inputs": {"parameterValues": {"s": value + "{{$}}"}}}
    assert resolve_text("{{$.inputs.parameters['s']}}", given_input, {}) == value + "{{$}}"


# --- commands

SCRIPT = 'program_path=$(mktemp -d)\nprintf "%s" "$0" > "$program_path/ephemeral_component.py"\npython3 -m kfp.dsl.executor_main "$@"'
INSTALL = "if ! [ -x \"$(command -v pip)\" ]; then\n  python3 -m ensurepip\nfi\n\nPIP_X=1 python3 -m pip install --quiet --no-warn-script-location 'pandas==2' && python3 -m pip install --quiet 'kfp==2.16.1' '--no-deps' && \"$0\" \"$@\"\n"
ARGS = ["--executor_input", "{{$}}", "--function_to_execute", "f"]


def test_a_lightweight_component():
    found = recognize(["sh", "-ec", SCRIPT, "def f(): ..."], ARGS)
    assert (found.python, found.source, list(found.words), found.installs) == (True, "def f(): ...", ARGS, ())


def test_an_install_in_front_is_dropped_and_named():
    found = recognize(["sh", "-c", INSTALL, "sh", "-ec", SCRIPT, "def f(): ..."], ARGS)
    assert (found.python, found.source, found.installs) == (True, "def f(): ...", ("pandas==2",))


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("pip install --index-url https://x/simple --trusted-host h yapf 'a[b]>=1,<2; python_version<\"3.9\"'",
         ("yapf", 'a[b]>=1,<2; python_version<"3.9"')),
        ("(PIP_X=1 pip install --quiet 'p==1' 'q' || PIP_X=1 pip install --quiet 'p==1' 'q' --user)", ("p==1", "q")),
    ],
)  # fmt: skip
def test_only_packages_are_named(script, packages):
    found = recognize(["sh", "-c", f'{script} && "$0" "$@"', "sh", "-ec", SCRIPT, "def f(): ..."], ARGS)
    assert found.installs == packages


def test_a_containerized_component():
    found = recognize(["python3", "-m", "kfp.dsl.executor_main"], ARGS)
    assert (found.python, found.source, list(found.words)) == (True, None, ARGS)


@pytest.mark.parametrize("command", [["sh", "-c", 'echo "$0" "$@"'], ["python3", "-m", "trainer.task"], ["./run"], []])
def test_programs_are_left_as_they_are(command):
    found = recognize(command, ["a"])
    assert (found.python, list(found.words)) == (False, [*command, "a"])


# --- environments


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("europe-docker.pkg.dev/p/r/headrace-tfx:1.2", "tfx"),
        ("headrace-main", "main"),
        ("r/headrace/components:1", "main"),
        ("localhost:5000/trainer@sha256:abc", "main"),
        ("r/headrace-serving:x", "main"),
        ("python:3.11", "main"),
        ("docker.io/library/python:3.11-slim", "main"),
        ("mine:1", "tfx"),
    ],
)
def test_images(image, name, tmp_path):
    known = Environments({"main": tmp_path, "tfx": tmp_path}, {"mine:1": "tfx"})
    assert known.name_for(image) == name


@pytest.mark.parametrize("image", ["alpine", "r/domain:1", "r/main/other:1", "ghcr.io/x/pythonic:1", ""])
def test_unknown_images(image, tmp_path):
    with pytest.raises(UnknownEnvironment, match=r"expected an image .*\*main, .*mine:1\)\. Received: "):
        Environments({"main": tmp_path}, {"mine:1": "main"}).name_for(image)


def test_an_environment_that_is_not_built(tmp_path):
    with pytest.raises(UnknownEnvironment, match=r"`tfx` at .*`make setup` builds it"):
        Environments({"tfx": tmp_path}).prefix("tfx")


def test_the_digest_of_an_environment_is_its_lock(tmp_path):
    stamp = tmp_path / "headrace-env"
    stamp.write_text("project 1 /a\nmain.lock abc\ndev.lock 1\n")
    first = environments.digest(tmp_path)
    stamp.write_text("project 2 /b\nmain.lock abc\n")
    assert environments.digest(tmp_path) == first
    stamp.write_text("project 1 /a\nmain.lock def\n")
    assert environments.digest(tmp_path) != first
    stamp.unlink()
    (tmp_path / "lib/python3.11/site-packages/kfp-2.16.1.dist-info").mkdir(parents=True)
    installed = environments.digest(tmp_path)
    (tmp_path / "lib/python3.11/site-packages/numpy-2.dist-info").mkdir()
    assert environments.digest(tmp_path) != installed


# --- digests

KEY = {
    "environment": "e",
    "command": ["python"],
    "args": ["f"],
    "env": {"A": "1"},
    "code": "c",
    "parameters": {"x": 1},
    "artifacts": {"data": [("sha256:1", {"rows": 3})]},
    "outputs": ["o:STRING"],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "e2"),
        ("command", ["python3"]),
        ("args", ["g"]),
        ("env", {"A": "2"}),
        ("code", "c2"),
        ("parameters", {"x": 2}),
        ("parameters", {"x": "1"}),
        ("parameters", {"x": True}),
        ("parameters", {"x": 1, "y": None}),
        ("artifacts", {"data": [("sha256:2", {"rows": 3})]}),
        ("artifacts", {"data": [("sha256:1", {"rows": 4})]}),
        ("artifacts", {"date": [("sha256:1", {"rows": 3})]}),
        ("outputs", ["o:LIST"]),
    ],
)
def test_everything_counts_in_a_key(field, value):
    assert digests.cache_key(**KEY) == digests.cache_key(**KEY)
    assert digests.cache_key(**{**KEY, field: value}) != digests.cache_key(**KEY)


def test_order_does_not_count_in_a_key():
    first = {**KEY, "parameters": {"x": 1, "y": 2}, "env": {"A": "1", "B": "2"}}
    second = {**KEY, "parameters": {"y": 2, "x": 1}, "env": {"B": "2", "A": "1"}}
    assert digests.cache_key(**first) == digests.cache_key(**second)


def test_digests_of_trees(tmp_path):
    def make(name, files):
        for file, text in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
        return digests.artifact_digest(tmp_path / name)

    same = make("a", {"x": "1", "d/y": "2"})
    assert make("b", {"d/y": "2", "x": "1"}) == same
    assert len({same, make("c", {"x": "2", "d/y": "1"}), make("d", {"x": "12"}), make("e", {"x": "1", "y": "2"})}) == 4
    assert digests.artifact_digest(tmp_path / "absent") == digests.ABSENT
    assert digests.extent(tmp_path / "a") == (2, 2)


def test_a_sealed_folder_has_its_own_digest(tmp_path):
    from headrace.artifacts.folder import seal

    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "x").write_text("1")
    manifest = seal(folder, "headrace/test", 1, {})
    digest = digests.artifact_digest(folder)
    assert digest == manifest.digest
    (folder / "manifest.json").write_text('{"format": "other", "digest": "x"}')
    assert digests.artifact_digest(folder) != "x"


# --- weight


def test_the_runner_is_light_to_import():
    code = (
        "import sys, headrace.pipelines.local.run, headrace.pipelines.local.views.view\n"
        "print(sorted({'kfp', 'yaml', 'rich', 'pandas', 'numpy', 'asyncio', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# --- processes and names


def test_an_owner_is_this_process_and_no_later_one():
    from dataclasses import replace

    me = myself()
    assert me.alive()
    assert not replace(me, started=me.started + 1).alive()
    assert not replace(me, boot="another").alive()
    assert identify(2**22 + 1) is None


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_file_names_are_safe_and_distinct(paths):
    first, second = map(safe_name, paths)
    assert first != second
    assert "/" not in first
    assert 0 < len(first) < 100
