"""A CSV file through the real server."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from tiny_bundle import INPUTS, random_instances

from headrace.artifacts.bundle import LINEAGE, Bundle, write_bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import write_json
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


def test_a_file_is_read_as_the_training_data_was(bundles: dict[str, Path], tmp_path: Path) -> None:
    with write_bundle(tmp_path / "model", {"name": "tiny"}) as folder:
        for name in Bundle.open(bundles["binary"]).manifest.files:
            shutil.copyfile(bundles["binary"] / name, folder / name)
        write_json(folder / LINEAGE, {"data": {"query": {"null_values": ["", "NA"]}}})
    file = tmp_path / "rows.tsv"
    file.write_text(" tenure \tspend per month\tis_new\tplan\tsignup\nNA\t2\tNA\tNA\tNA\n1\t2\ttrue\tpro\t\n")
    missing = {"tenure": None, "spend per month": 2, "is_new": None, "plan": None, "signup": None}
    given = {"tenure": 1, "spend per month": 2, "is_new": True, "plan": "pro", "signup": None}
    with running_server(tmp_path / "model") as url:
        assert predict_csv(url, file) == predict(url, [missing, given])
        other = tmp_path / "other.csv"
        other.write_text("tenure;spend per month;is_new;plan;signup\n1.000;2,5;true;pro;\n")
        assert predict_csv(url, other, separator=";", decimal=",") == predict(
            url, [{**given, "tenure": 1000, "spend per month": 2.5}]
        )
