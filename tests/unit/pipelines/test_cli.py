"""The command line's frame: errors as one message and an exit code, options, near words."""

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines import cli
from headrace.pipelines.commands.predict import instances
from headrace.pipelines.commands.run import commit, parse


def call(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


def replaced(error, monkeypatch):
    """The command `validate` raises an error instead of doing anything."""
    import click

    @click.command("validate")
    def command():
        raise error

    monkeypatch.setattr("headrace.pipelines.commands.validate.command", command)


class Special(HeadraceError):
    exit_code = 7


class Stopped(KeyboardInterrupt):
    exit_code = 143


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (HeadraceError("one\ntwo"), 1, "headrace: one\nheadrace: two\n"),
        (Special("x"), 7, "headrace: x\n"),
        (
            OSError(28, "No space left on device", "/a/b"),
            1,
            "headrace: /a/b: expected what can be read and written. Received: no space left on device\n",
        ),
        (OSError("odd"), 1, "headrace: odd\n"),
        (KeyboardInterrupt(), 130, "\nheadrace: interrupted\n"),
        (Stopped(), 143, "\nheadrace: interrupted\n"),
    ],
)
def test_errors_end_in_a_message_and_a_code(error, code, said, monkeypatch, capsys):
    monkeypatch.delenv("HEADRACE_DEBUG", raising=False)
    replaced(error, monkeypatch)
    assert call("validate") == code
    assert capsys.readouterr() == ("", said)


def test_other_errors_are_bugs_and_keep_their_traceback(monkeypatch):
    replaced(ZeroDivisionError("oops"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        cli.main(["validate"])


def test_debug_keeps_the_traceback_of_all(monkeypatch):
    monkeypatch.setenv("HEADRACE_DEBUG", "1")
    replaced(HeadraceError("x"), monkeypatch)
    with pytest.raises(HeadraceError):
        cli.main(["validate"])


def test_a_slip_of_the_finger(capsys):
    assert call("vaildate") == 2
    assert "No such command 'vaildate'; did you mean 'validate'?" in capsys.readouterr().err
    assert call("zzzzzz") == 2
    assert "No such command 'zzzzzz'." in capsys.readouterr().err


def test_parameters():
    assert parse(("a=1", "b=x=y", "c=")) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("text", ['{"a": 1}', '[{"a": 1}]', '{"instances": [{"a": 1}]}'])
def test_instances_in_any_of_three_forms(text, tmp_path):
    (tmp_path / "x.json").write_text(text)
    assert instances(text) == instances(f"@{tmp_path / 'x.json'}") == [{"a": 1}]


@pytest.mark.parametrize("text", ["[1]", "3", "null", '"a"', "{", ""])
def test_no_instances(text):
    with pytest.raises(HeadraceError, match=r"--json: expected (JSON|an object, or a list of objects)\. Received: "):
        instances(text)


def test_the_commit_of_a_folder(tmp_path):
    import subprocess

    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    assert commit(tmp_path) == ""
    (tmp_path / "a").write_text("1")
    for arguments in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "x", "--no-verify"]):
        subprocess.run([*git, *arguments], check=True)
    first = commit(tmp_path)
    assert len(first) == 40
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == f"{first}-dirty"
