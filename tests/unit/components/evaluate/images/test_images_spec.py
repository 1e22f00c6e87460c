"""What a spec may say of the evaluation of images, and what a table's may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.pipelines.spec import SpecError, load_spec

HEAD = {
    "images": "name: widgets\ntask: image_classification\ndata: {source: labels.csv, label: label}\n",
    "table": "name: churn\ntask: classification\ndata: {source: rows.csv, label: churned}\n",
}
EVALUATE = "evaluate:\n  truth: audited\n  recall: {class: crack, at_least: 0.95}\n  look: {attention: 0}\n"


def spec_file(folder: Path, kind: str, evaluate: str) -> Path:
    file = folder / "spec.yaml"
    file.write_text(HEAD[kind] + evaluate)
    return file


def test_images_have_it(tmp_path):
    found = load_spec(spec_file(tmp_path, "images", EVALUATE)).evaluate
    assert (found.truth, found.recall.name, found.recall.at_least) == ("audited", "crack", 0.95)
    assert (found.look.attention, found.look.review) == (0, 50)


def test_a_table_has_not_and_each_line_is_named(tmp_path):
    with pytest.raises(SpecError) as error:
        load_spec(spec_file(tmp_path, "table", EVALUATE))
    lines = str(error.value).splitlines()
    assert [line.split("spec.yaml:")[1].split(": expected")[0] for line in lines] == [
        "5: evaluate.truth",
        "6: evaluate.recall",
        "7: evaluate.look",
    ]
    assert all("only of images" in line for line in lines)


@pytest.mark.parametrize("at_least", ["0", "1.2", ".nan"])
def test_a_recall_is_a_share(tmp_path, at_least):
    evaluate = f"evaluate: {{recall: {{class: crack, at_least: {at_least}}}}}\n"
    with pytest.raises(SpecError, match=r"evaluate\.recall\.at_least: expected"):
        load_spec(spec_file(tmp_path, "images", evaluate))
