"""The evaluation's page: it says what was found, in words that are right, whatever is missing."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.attributions import Attributions, Explained, Mean, Part
from headrace.artifacts.errors_found import ErrorRule, ErrorsFound, WorstRow
from headrace.artifacts.evaluation import Curve, Evaluation, Slice, Unjudged, read_evaluation, write_evaluation
from headrace.artifacts.worst_slices import WorstSlice, WorstSlices
from headrace.components.evaluate.evaluate import assess
from headrace.components.evaluate.matrix_model import Cells, MatrixModel
from headrace.components.evaluate.page import evaluation_page
from headrace.components.evaluate.slices_page import against_champion
from headrace.components.evaluate.spec import EvaluateSpec

WORST = WorstSlice("plan × region", "basic × <north>", 300, 0.9, 0.3, 0.2, 1e-9, 0.2, 0.5, True, {"auc": 0.6})
SEARCH = WorstSlices(
    "log_loss", 2000, 812, 50, ("plan", "region", "age"), ("plan", "region"), {"email": "private"}, (WORST,)
)
RULE = ErrorRule(("age ≥ 62", "plan is basic"), 210, 0.8, 0.3, 0.11, 1e-6, 0.4)
ROW = WorstRow(17, "SF-1", "1", "0", 0.01, 4.6, {"plan": "basic", "age": "64"})
ERRORS = ErrorsFound("log_loss", 0.35, 0.5, 700, 0.2, (RULE,), (ROW,))
PARTS = (Part("age", "64", 0.3, 0.01), Part("a_rather_long_name_of_a_column", "premium", -0.1, 0.02))
EXAMPLE = Explained("most wrong", 17, "SF-1", "1", "0", 0.2, 0.4, PARTS)
LOOKED = Attributions("probability", "1", 64, 24, (), (Mean("age", 0.2), Mean("plan", 0.1)), (EXAMPLE,))
FOUND = Evaluation(
    True, "classification", "y", "test", 2000, "sha256:d", "sha256:m", ("0", "1"), "1", 0.5,
    metrics={"auc": 0.8, "log_loss": 0.4}, intervals={"auc": (0.78, 0.82)}, confusion=((900, 100), (400, 600)),
    slices=(
        Slice("region", "north", 500, {"auc": 0.7}, {}, {"auc": (0.65, 0.75)}),
        Slice("region", "south", 500, {"auc": 0.79}, {}, {"auc": (0.74, 0.84)}),
        Slice("region", "east", 30, {}, {"auc": "all rows are of class 0"}),
    ),
    unjudged=(Unjudged("region", 2, 9, 20, 0, ("islands", "west")),),
    worst=SEARCH, errors=ERRORS, attributions=LOOKED,
)  # fmt: skip


def text(page: str) -> str:
    """What a reader sees."""
    body = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))).replace("\N{NO-BREAK SPACE}", " ")


def test_it_tells_everything_that_was_found():
    shown = text(evaluation_page(FOUND))
    assert "basic × <north> 300 0.9000 0.3000 20.0 % 0.2000 0.5000 off: too low" in shown
    assert "812 parts of the rows: 3 columns and pairs of 2 of them" in shown and "email private" in shown
    assert "age ≥ 62 and plan is basic 210" in shown and "SF-1 1 0 0.0100 basic 64" in shown
    assert "Most wrong: SF-1" in shown and "Probability of 1: 0.200 on average, 0.400 here. True: 0." in shown
    assert "region: values with fewer than 20 rows: 2, 9 rows in all (islands, west)" in shown


def test_slices_are_the_worst_first_and_coloured_by_their_own_intervals():
    page = evaluation_page(FOUND)
    shown = text(page)
    assert shown.index("all rows are of class 0") < shown.index("north 500") < shown.index("south 500")
    assert "north 500 0.7000 0.650 – 0.750" in shown
    assert '<span class="badge bad">0.1000 worse</span>' in page
    assert "0.0100 worse" in shown and '<span class="badge bad">0.0100 worse</span>' not in page


def test_nothing_that_comes_from_data_is_markup():
    assert "<north>" not in evaluation_page(FOUND)


def test_where_the_search_found_nothing_it_says_so():
    shown = text(evaluation_page(replace(FOUND, worst=replace(SEARCH, found=()), errors=replace(ERRORS, rules=()))))
    assert "no pair of values, has more error than the other rows beyond chance" in shown
    assert "share nothing that a shallow tree" in shown
    few = text(evaluation_page(replace(FOUND, errors=replace(ERRORS, rules=(), measured=0, wrong=None))))
    assert "too few rows to look for what errors share" in few


def test_an_old_evaluation_has_a_page_without_those_sections():
    page = evaluation_page(replace(FOUND, worst=None, errors=None, attributions=None, slices=(), unjudged=()))
    assert "ROC AUC" in page and not {"Worst parts", "Single answers", "Importance"} & set(
        re.findall("<h2>(.*?)</h2>", page)
    )


def test_where_nothing_could_be_measured_the_page_says_why():
    broken = Evaluation(True, "classification", "y", "test", 9, "sha256:d", "sha256:m", undefined={"auc": "no rows"})
    shown = text(evaluation_page(broken))
    assert "No metric could be measured. No gate passes." in shown and "no rows" in shown
    assert "There was no model to evaluate" in text(evaluation_page(replace(broken, present=False)))
    assert "column `a` is gone" in text(evaluation_page(replace(broken, unfit="column `a` is gone")))


@pytest.mark.parametrize(
    ("confusion", "words"),
    [
        (((990, 0), (10, 0)), "predicted to be `0`, as no probability of `1` reaches the threshold of 0.5;"),
        (((0, 990), (0, 10)), "predicted to be `1`, as every probability of `1` reaches the threshold of 0.5;"),
        (((989, 1), (10, 0)), None),
        ((), None),
    ],
)
def test_a_model_that_gives_one_answer_is_told(confusion, words):
    found = replace(FOUND, confusion=confusion)
    assert (words or "") in (found.one_answer or "")
    assert ("Every row of the test split is" in text(evaluation_page(found))) == (words is not None)


def test_of_many_classes_one_answer_has_no_threshold():
    classes = {"classes": ("a", "b", "c"), "positive": None, "threshold": None}
    found = replace(FOUND, **classes, confusion=((0, 5, 0), (0, 9, 0), (0, 1, 0)))
    assert found.one_answer == "every row of the test split is predicted to be `b`"


def test_candidate_and_champion_stand_side_by_side_the_greatest_loss_first():
    worse = replace(FOUND.slices[0], metrics={"auc": 0.75})
    champion = replace(FOUND, model_digest="sha256:c", slices=(worse, replace(FOUND.slices[1], metrics={"auc": 0.7})))
    shown = text(against_champion(FOUND, champion))
    assert shown.index("north 500 0.7000") < shown.index("0.0500 worse") < shown.index("south 500 0.7900")
    assert "0.0900 better" in shown and "islands" not in shown


@pytest.mark.parametrize(
    "change", [{"dataset_digest": "sha256:other"}, {"rows": 1}, {"slices": ()}, {"model_digest": "sha256:m"}]
)
def test_what_is_not_comparable_is_not_compared(change):
    assert against_champion(FOUND, replace(FOUND, **{"model_digest": "sha256:c", **change})) is None


def test_what_was_found_survives_the_file(tmp_path):
    write_evaluation(tmp_path / "e", FOUND)
    assert read_evaluation(tmp_path / "e") == FOUND


def test_curves_with_bands_and_the_matrix_are_drawn():
    curves = (
        Curve("roc", ((0, 0, 1), (0.2, 0.7, 0.5), (1, 1, 0)), "1"),
        Curve("roc_band", ((0, 0, 0.1), (1, 0.9, 1)), "1"),
        Curve("pr", ((0, 1, 1), (1, 0.5, 0)), "1"),
        Curve("pr_band", ((0, 0, 1), (1, 0.4, 0.6)), "1"),
        Curve("gain", ((0, 0), (1, 1)), "1"),
        Curve("lift", ((0.1, 3), (1, 1)), "1"),
        Curve("calibration", ((0.2, 0.25, 100, 0.2, 0.3), (0.8, 0.7, 50, 0.6, 0.8)), "1"),
    )
    titles = re.findall("<figcaption>(.*?)</figcaption>", evaluation_page(replace(FOUND, curves=curves)))
    assert titles[:6] == [
        "ROC",
        "Precision and recall",
        "Gain",
        "Lift",
        "Calibration",
        "Confusion matrix at threshold 0.5000",
    ]
    assert "Confusion matrix at threshold 0.123456789" in evaluation_page(replace(FOUND, threshold=0.123456789))


def _of_classes(drawn: int, rows: list[int]) -> Evaluation:
    names = tuple(f"c{code}" for code in range(len(rows)))
    rocs = tuple(Curve("roc", ((0.0, 0.0, 1.0), (1.0, 1.0, 0.0)), name) for name in names[:drawn])
    confusion = tuple(tuple(count if a == b else 0 for b in range(len(rows))) for a, count in enumerate(rows))
    return replace(FOUND, classes=names, positive=None, threshold=None, confusion=confusion, curves=rocs)


def test_classes_without_a_curve_are_named_and_it_is_said_why():
    shown = text(evaluation_page(_of_classes(10, [20] * 12)))
    assert "The 10 most frequent of 12 classes in the test split. Not drawn: c10, c11. Confusion matrix" in shown
    shown = text(evaluation_page(_of_classes(3, [20, 20, 20, 0])))
    assert "chance" in shown and "No rows in the test split, and so no curve: c3." in shown
    assert "most frequent of" not in shown
    shown = text(evaluation_page(_of_classes(18, [20] * 40)))
    assert "Not drawn: c18, c19, c20, c21, c22, c23, c24, c25, c26, c27 and 12 more." in shown


def test_where_every_class_has_a_curve_nothing_is_said_of_it():
    shown = text(evaluation_page(_of_classes(12, [20] * 12)))
    assert "most frequent of" not in shown and "Not drawn" not in shown and "no curve" not in shown


def test_the_matrix_of_many_classes_is_as_wide_as_the_page():
    page = evaluation_page(_of_classes(12, [20] * 12))
    assert '<figure class="wide"><figcaption>Confusion matrix</figcaption>' in page
    assert "<figure><figcaption>Confusion matrix" in evaluation_page(FOUND)


def test_an_evaluation_of_a_model_finds_its_bad_part_and_explains_it(binary, subjects):
    """The model is turned round for one plan; columns that it does not read are searched all the same."""

    def run(cells: Cells) -> np.ndarray:
        chance = 1 / (1 + np.exp(-2 * cells.matrix[:, 0]))
        return np.column_stack([1 - chance, chance])

    def predict(table: pa.Table) -> np.ndarray:
        chance = 1 / (1 + np.exp(-2 * np.asarray(table["x"])))
        chance = np.where(np.asarray(table["plan"]) == "premium", 1 - chance, chance)
        return np.column_stack([1 - chance, chance])

    def encode(table: pa.Table) -> Cells:
        return Cells(np.asarray(table["x"]).reshape(-1, 1))

    subject = replace(subjects["binary"], predict=predict, matrix=MatrixModel(("x",), encode, run))
    found = assess(subject, binary, EvaluateSpec(slices=["plan", ["plan", "gender"]]))
    assert [(item.by, item.value) for item in found.worst.found] == [("plan", "premium")]
    assert found.errors.rules and found.errors.rules[0].conditions[0] in ("plan is premium", "plan is not basic")
    assert {part.by for part in found.slices} == {"plan", "plan × gender"}
    assert all("auc" in part.intervals for part in found.slices if "auc" in part.metrics)
    assert [mean.feature for mean in found.attributions.means] == ["x"]
    assert "Worst parts of the rows" in evaluation_page(found)
    quiet = EvaluateSpec(errors={"search": False, "rows": 0}, explain={"rows": 0})
    bare = assess(subject, binary, quiet)
    assert bare.worst is None and bare.attributions is None and bare.errors.worst == ()
