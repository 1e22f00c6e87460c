"""What `headrace predict` refuses before anybody is asked."""

import click
import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.predict import command, instances


def test_instances_from_text_and_files(tmp_path):
    (tmp_path / "rows.json").write_text('{"instances": [{"plan": "Größe"}]}', encoding="utf-8")
    assert instances(f"@{tmp_path / 'rows.json'}") == [{"plan": "Größe"}]
    assert instances('{"a": 1}') == instances('[{"a": 1}]') == [{"a": 1}]
    (tmp_path / "latin.json").write_text('{"plan": "Größe"}', encoding="latin-1")
    with pytest.raises(HeadraceError, match=r"--json @.*latin.json: expected text in UTF-8. Received: other bytes"):
        instances(f"@{tmp_path / 'latin.json'}")
    with pytest.raises(HeadraceError, match=r"--json @.*none.json: expected a file. Received: No such file"):
        instances(f"@{tmp_path / 'none.json'}")
    for text in ("[1]", "3", "{"):
        with pytest.raises(HeadraceError, match="--json: expected "):
            instances(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one of --json, --csv and --image. Received: none"),
        (["--json", "{}", "--csv", "a.csv"], "expected one of --json, --csv and --image. Received: --json, --csv"),
        (["--json", "{}", "--separator", ";"], "expected --csv with --separator and --decimal. Received: --json"),
        (["--csv", "a.csv", "--separator", ";;"], "expected one character, such as a semicolon, or \\t for a tab."),
        (["--csv", "a.csv", "--explain"], "expected --json with --explain. Received: --csv"),
    ],
)
def test_options_that_do_not_go_together(arguments, message):
    done = CliRunner().invoke(command, ["http://127.0.0.1:9", *arguments])
    assert done.exit_code == click.UsageError.exit_code
    assert message in done.output
