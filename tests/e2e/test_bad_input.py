"""Every kind of bad input ends in one line that says what is wrong and where, and leaves nothing behind."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.pipelines.cli import main
from tests.e2e.projects import Project, rows

SPEC = """name: small
task: classification
data:
  source: table.csv
  label: label
  id: id
"""


def text(table: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in table).encode()


def with_row(number: int, row: list[str]) -> bytes:
    """The small table with another row in the place of one; the header is row 0."""
    table = rows()
    table[number] = row
    return text(table)


GOOD = rows()
HEADER = GOOD[0]

# what the file holds -> (its bytes, what is said of it, does a look at the first rows find it?)
CASES: dict[str, tuple[bytes, str, bool]] = {
    "label constant": (
        text([HEADER, *([*row[:3], "1"] for row in GOOD[1:])]),
        "{file}: expected a label of at least two values. Received: `label` is 1 in every row",
        False,
    ),
    "nothing": (b"", "{file}: expected CSV text with a header. Received: an empty file", True),
    "only a header": (
        text([HEADER]),
        "{file}: expected rows below the header. Received: only a header of 4 columns",
        True,
    ),
    "ragged rows": (
        with_row(50, ["row-49", "0.5", "red", "1", "more"]),
        "{file}, row 50: expected 4 fields, as in the header. Received: 5: 'row-49,0.5,red,1,more'. "
        "Quote fields that contain the separator.",
        True,
    ),
    "not UTF-8": (
        with_row(50, ["row-49", "0.5", "grün", "1"]).decode().encode("latin-1"),
        "{file}, line 51, byte 14: expected UTF-8 text. Received: byte 0xfc. "
        "Convert it first, e.g. `iconv -f cp1252 -t utf-8`.",
        True,
    ),
    "gzip": (
        gzip.compress(text(GOOD), mtime=0),
        "{file}: expected UTF-8 CSV text. Received: gzip data. Name it .csv.gz, or unpack it first.",
        True,
    ),
    "a column name twice": (
        text([["id", "size", "size", "label"], *GOOD[1:]]),
        "{file}, line 1: expected each column name once. Received: 'size' more than once",
        True,
    ),
    "an id twice": (
        with_row(50, GOOD[49]),
        "{file}: expected every `id` once. Received: 1 ids more than once, such as 'row-48'; "
        "the first in the rows 49 and 50",
        False,
    ),
    "an id missing": (
        with_row(50, ["", *GOOD[50][1:]]),
        "{file}: expected an id in every row. Received: 1 row without `id`, first row 50",
        False,
    ),
    "two rows": (
        text(GOOD[:3]),
        "{file}: expected at least 50 rows to split and learn from. Received: 2",
        False,
    ),
}


def project_of(content: bytes, folder: Path, spec: str = SPEC) -> Project:
    (folder / "table.csv").write_bytes(content)
    (folder / "spec.yaml").write_text(spec)
    return Project(folder)


@pytest.fixture
def said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Calls the command line in this process, in `tmp_path`: (exit code, output, errors)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(arguments)
        except SystemExit as end:
            assert isinstance(end.code, int)
            code = end.code
        return code, *capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / ".headrace"))
    monkeypatch.delenv("HEADRACE_DEBUG", raising=False)
    return call


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec, compiled."""
    project = project_of(text(GOOD), tmp_path_factory.mktemp("compiled"))
    project.headrace("compile", "spec.yaml", "-o", "pipeline.yaml").ok()
    return project.folder / "pipeline.yaml"


@pytest.mark.parametrize("case", CASES)
def test_run_refuses_the_file(case: str, pipeline: Path, tmp_path: Path) -> None:
    """As a compiled pipeline: a run of the spec itself imports more, what later tasks need; the missing label does."""
    content, message, _ = CASES[case]
    project = project_of(content, tmp_path)
    done = project.headrace("run", pipeline, "-p", f"source={tmp_path / 'table.csv'}")
    assert done.code == 1
    first, *rest = done.err.splitlines()
    assert first == "ingest: " + message.format(file=tmp_path / "table.csv")
    assert len(rest) == 1
    assert rest[0].startswith("small ")
    assert ": FAILED in " in rest[0]
    assert "Traceback" not in done.out + done.err
    assert project.versions() == []
    assert project.halves() == []
    assert not (project.home / "store" / "ingest").exists()
    assert project.processes() == []


@pytest.mark.parametrize("case", [case for case, (_, _, seen) in CASES.items() if seen])
def test_init_and_validate_refuse_what_cannot_be_read(case: str, tmp_path: Path, said: Callable[..., object]) -> None:
    content, message, _ = CASES[case]
    project_of(content, tmp_path)
    expected = f"headrace: {message}\n"
    assert said("init", "mine", "--from", "table.csv", "--label", "label") == (1, "", expected.format(file="table.csv"))
    assert said("validate", "spec.yaml") == (1, "", expected.format(file=tmp_path / "table.csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spec.yaml", "table.csv"]


def test_a_missing_label_is_found_before_and_in_a_run(tmp_path: Path, said: Callable[..., object]) -> None:
    project = project_of(text(GOOD), tmp_path, SPEC.replace("label: label", "label: lable"))
    place, hint = tmp_path / "table.csv", "did you mean `label`?"
    assert said("init", "mine", "--from", "table.csv", "--label", "lable") == (
        1,
        "",
        f"headrace: table.csv: expected the label column `lable`. Received: no such column; {hint}\n",
    )
    assert said("validate", "spec.yaml") == (
        1,
        "",
        f"headrace: spec.yaml:5: data.label: expected a column of the source. Received: `lable`; {hint}\n",
    )
    assert not (tmp_path / "mine").exists()
    done = project.headrace("run", "spec.yaml")
    assert done.code == 1
    assert done.err.splitlines()[0] == (
        f"ingest: {place}: expected the label column `lable`. Received: no such column; {hint}"
    )


def test_init_refuses_a_constant_label(tmp_path: Path, said: Callable[..., object]) -> None:
    project_of(CASES["label constant"][0], tmp_path)
    assert said("init", "mine", "--from", "table.csv", "--label", "label") == (
        1,
        "",
        "headrace: table.csv: expected a label of at least two values. Received: `label` is 1 in every row\n",
    )
    assert not (tmp_path / "mine").exists()


def test_init_takes_no_column_for_an_id_that_does_not_name_every_row(
    tmp_path: Path, said: Callable[..., tuple[int, str, str]]
) -> None:
    for case in ("an id twice", "an id missing"):
        project_of(CASES[case][0], tmp_path)
        code, spec, _ = said("init", "mine", "--from", "table.csv", "--label", "label", "--force")
        assert code == 0
        assert "# id: no column names the rows; the split goes by all of them" in spec
        assert "\n  id:" not in spec


def test_init_of_a_file_without_from_says_what_was_meant(tmp_path: Path, said: Callable[..., object]) -> None:
    (tmp_path / "table.csv").write_text("y,x\n")
    code, out, err = said("init", "table.csv", "--label", "y")  # type: ignore[misc]
    assert (code, out) == (2, "")
    assert "Received: table.csv, a file; did you mean `headrace init table --from table.csv`?" in err
    code, _, err = said("init", "mine", "--label", "y")  # type: ignore[misc]
    assert code == 2 and "expected --from with what mine/spec.yaml is to be for. Received: none" in err
    assert not (tmp_path / "mine").exists()


def test_no_such_file_and_an_unknown_format(tmp_path: Path, said: Callable[..., object]) -> None:
    (tmp_path / "table.xlsx").write_bytes(b"PK\x03\x04")
    assert said("init", "mine", "--from", "table.xlsx", "--label", "y") == (
        1,
        "",
        "headrace: table.xlsx: expected a file named .csv, .tsv, .parquet, .jsonl, .ndjson, .avro, .tfrecord. "
        "Received: a spreadsheet; save its sheet as CSV\n",
    )
    (tmp_path / "table.dat").write_text("y,x\n")
    assert said("init", "mine", "--from", "table.dat", "--label", "y") == (
        1,
        "",
        "headrace: table.dat: expected a file named .csv, .tsv, .parquet, .jsonl, .ndjson, .avro, .tfrecord, "
        "or data.format (--source-format) to say what it is. Received: .dat\n",
    )
    code, out, err = said("init", "mine", "--from", "none.csv", "--label", "y")  # type: ignore[misc]
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "none.csv" in err


SPECS: dict[str, tuple[str, list[str]]] = {
    "a wrong key": (SPEC + "trian: {model: gbdt}\n", ["spec.yaml:7: unknown field `trian`; did you mean `train`?"]),
    "a wrong key further down": (
        SPEC.replace("  id: id", "  idd: id"),
        ["spec.yaml:6: unknown field `idd`; did you mean `id`?"],
    ),
    "a wrong type": (
        SPEC + "features:\n  drop: 3\n",
        ["spec.yaml:8: features.drop: expected a list of texts. Received: 3"],
    ),
    "no number": (
        SPEC + "  split: {eval: 0.1, test: lots}\n",
        ["spec.yaml:7: data.split.test: expected a number. Received: 'lots'"],
    ),
    "another task": (
        SPEC.replace("task: classification", "task: ranking"),
        ["spec.yaml:2: task: expected 'classification', 'regression' or 'image_classification'. Received: 'ranking'"],
    ),
    "a gate on an unknown metric": (
        SPEC + "evaluate:\n  gates:\n    - {metric: auc, at_least: 0.5}\n    - {metric: acuracy, at_least: 0.7}\n",
        ["spec.yaml:10: evaluate.gates.1: expected a known metric. Received: acuracy; did you mean `accuracy`?"],
    ),
    "a gate on a metric of the other task": (
        SPEC + "evaluate:\n  gates:\n    - {metric: rmse, at_most: 0.7}\n",
        [
            "spec.yaml:9: evaluate.gates.0: expected a metric of classification. Received: rmse; known are auc, pr_auc, "
            "log_loss, brier, ece, accuracy, precision, recall, f1, mcc, balanced_accuracy, macro_f1, weighted_f1, and more"
        ],
    ),
    "several mistakes": (
        SPEC.replace("small", "Small").replace("label: label", "lable: label"),
        [
            "spec.yaml:1: name: expected lower-case letters, digits and hyphens, beginning with a letter. Received: 'Small'",
            "spec.yaml:3: data.label: expected this field. Received: nothing",
            "spec.yaml:5: unknown field `lable`; did you mean `label`?",
        ],
    ),
    "a key twice": (
        SPEC + "name: again\n",
        ["spec.yaml:7: expected each field once. Received: `name` again, first on line 1"],
    ),
    "nothing": ("", ["spec.yaml: expected YAML. Received: an empty file"]),
    "only a comment": ("# to do\n", ["spec.yaml: expected YAML. Received: an empty file"]),
    "no YAML": ("name: [small\ntask: }\n", ["spec.yaml:2: expected YAML. Received: did not find expected ',' or ']'"]),
    "a template that was not filled in": (
        SPEC.replace("table.csv", "{{path}}"),
        ["spec.yaml:4: expected a text as the name of a field. Received: a mapping"],
    ),
    "a text": ("small\n", ["spec.yaml: expected a mapping with name, task and data. Received: str"]),
}


@pytest.mark.parametrize("command", ["validate", "compile", "run"])
@pytest.mark.parametrize("case", SPECS)
def test_a_mistake_in_the_spec_is_named_with_its_line(
    case: str, command: str, tmp_path: Path, said: Callable[..., object]
) -> None:
    spec, lines = SPECS[case]
    project_of(text(GOOD), tmp_path, spec)
    assert said(command, "spec.yaml") == (1, "", "".join(f"headrace: {line}\n" for line in lines))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spec.yaml", "table.csv"]


@pytest.mark.parametrize("command", ["validate", "compile", "run"])
def test_a_spec_that_is_not_there(command: str, tmp_path: Path, said: Callable[..., tuple[int, str, str]]) -> None:
    (tmp_path / "empty").mkdir()
    for name, file in (("none.yaml", "none.yaml"), ("empty", "empty/spec.yaml")):
        code, out, err = said(command, name)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith(f"headrace: {file}: expected a ")
        assert "no such file" in err.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]


@pytest.mark.parametrize("command", ["validate", "compile", "run"])
def test_a_spec_that_may_not_be_read(
    command: str, tmp_path: Path, said: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    project_of(text(GOOD), tmp_path)

    def denied(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "spec.yaml":  # permissions do not stop root, as whom tests may run
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)  # type: ignore[arg-type]

    opened = Path.open
    monkeypatch.setattr(Path, "open", denied)
    code, out, err = said(command, "spec.yaml")  # type: ignore[misc]
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("headrace: spec.yaml: ")
    assert err.endswith("ermission denied\n")


def test_a_spec_that_is_not_utf8(tmp_path: Path, said: Callable[..., tuple[int, str, str]]) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"name: gr\xfcn\n")
    code, out, err = said("validate", "spec.yaml")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("headrace: spec.yaml: expected UTF-8 text. Received: ")


def test_debug_shows_where_it_came_from(tmp_path: Path) -> None:
    done = project_of(text(GOOD), tmp_path, "").headrace("--debug", "validate", "spec.yaml")
    assert done.code == 1
    assert done.err.startswith("Traceback (most recent call last):")
    assert done.err.endswith("HeadraceError: spec.yaml: expected YAML. Received: an empty file\n")
