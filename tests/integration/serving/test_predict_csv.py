"""A CSV file through the real server."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tiny_bundle import INPUTS, random_instances

from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import predict, predict_csv
from headrace.serving.local import running_server


def test_a_file_is_answered_row_by_row(bundles: dict[str, Path], tmp_path: Path) -> None:
    instances = random_instances(INPUTS, 2345, seed=4)
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["id", *(item.name for item in INPUTS)])
        writer.writeheader()
        writer.writerows({"id": number, **row} for number, row in enumerate(instances))
    with running_server(bundles["multiclass"]) as url:
        answers = predict_csv(url, file)
        assert answers == predict(url, instances)
        file.write_text("tenure,spend per month,is_new,plan,signup\n1,2,true,pro,yesterday\n")
        with pytest.raises(HeadraceError, match=r"instances\[0\]\.signup: expected a date such as"):
            predict_csv(url, file)
