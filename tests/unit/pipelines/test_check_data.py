"""`headrace validate` on the id and the split: what ingestion would refuse is told before a run."""

from pathlib import Path

import pytest

from headrace.pipelines.check import check_spec
from headrace.pipelines.spec import SpecError

ROWS = "key,age,city,day,part,y\n" + "".join(
    f"{i},{i % 50 or ''},Paris,2024-01-{i % 28 + 1:02d},{('train', 'eval', 'test')[i % 3]},{'yes' if i % 2 else 'no'}\n"
    for i in range(60)
)


def check(folder: Path, data: str, rows: str = ROWS) -> None:
    (folder / "rows.csv").write_text(rows)
    spec = folder / "spec.yaml"
    spec.write_text(f"name: churn\ntask: classification\ndata:\n  source: rows.csv\n  label: y\n  {data}\n")
    check_spec(spec)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("id: part", "data.id: expected every `part` once. Received: 3 ids more than once, such as 'train'"),
        ("id: age", "data.id: expected an id in every row. Received: 2 rows without `age`, first row 1"),
        ("split: {by: time, column: city}", "data.split.column: expected a date, time or number. Received: `city` of type string"),
        ("split: {by: column, column: city}", "data.split.column: expected one of train, eval, test in `city`. Received: 'Paris'; say"),
        ("split: {by: group, column: age}", "data.split.column: expected a value of `age` in every row. Received: rows without; leave"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, data, message):
    with pytest.raises(SpecError) as raised:
        check(tmp_path, data)
    assert str(raised.value).startswith(f"{tmp_path / 'spec.yaml'}:6: {message}")


@pytest.mark.parametrize(
    "data",
    [
        "id: key",
        "split: {by: time, column: day}",
        "split: {by: time, column: day, eval_from: 2024-01-15, test_from: 2024-01-20}",
        "split: {by: column, column: part}",
        "split: {by: group, column: city}",
        "split: {by: stratified}",
        "split: {by: stratified, column: city}",
        "id: city\n  watermark: {column: key}",  # of rows with the same id the newest stays
    ],
)
def test_what_is_there_passes(tmp_path, data):
    check(tmp_path, data)


def test_of_joined_columns_only_the_types_are_known(tmp_path):
    (tmp_path / "more.csv").write_text("key,when,where\n" + "".join(f"{i},{i},here\n" for i in range(60)))
    join = "join: [{source: more.csv, on: key}]\n  "
    check(tmp_path, f"{join}split: {{by: time, column: when}}")
    with pytest.raises(SpecError, match="expected a date, time or number. Received: `where` of type string"):
        check(tmp_path, f"{join}split: {{by: time, column: where}}")
