"""The churn example's table: its bytes, its holes, and whether what it says a model can reach is true."""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "churn"
MODULES = ("streamflow", "attainable", "generate")
SHA256_OF_1000_ROWS = "2012d922e045fcc267fe8adca7c48cd009f2950fffcf5b89f806ff64c6aac6f8"


@pytest.fixture(scope="module")
def churn() -> Iterator[SimpleNamespace]:
    """The example's three modules, imported as its script does and forgotten afterwards."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def full(churn: SimpleNamespace) -> Any:
    return churn.streamflow.generate(50_000, 7)


@pytest.fixture(scope="module")
def rows(churn: SimpleNamespace, full: Any) -> list[dict[str, str]]:
    """The table as a reader of the CSV sees it."""
    text = csv_bytes(churn.generate, full).decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def attainable(churn: SimpleNamespace, full: Any) -> Any:
    return churn.attainable.attainable(full)


def csv_bytes(generate: ModuleType, subscribers: Any) -> bytes:
    columns = generate.table(subscribers)
    lines = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True)), ""]
    return "\n".join(lines).encode()


def share_missing(rows: list[dict[str, str]], column: str) -> float:
    return sum(row[column] == "" for row in rows) / len(rows)


def test_bytes_of_a_seed_are_pinned(churn: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "subscribers.csv"
    assert churn.generate.main(["--rows", "1000", "--output", str(path)]) == 0
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256_OF_1000_ROWS
    assert [p.name for p in path.parent.iterdir()] == ["subscribers.csv"], "no temporary file may stay"


def test_short_table_is_the_head_of_a_long_one(churn: SimpleNamespace, full: Any) -> None:
    short = csv_bytes(churn.generate, churn.streamflow.generate(300, 7))
    assert csv_bytes(churn.generate, full).startswith(short)


@pytest.mark.parametrize(("seed", "world"), [(8, "base"), (7, "price_rise")])
def test_another_seed_or_world_is_another_table(churn: SimpleNamespace, seed: int, world: str) -> None:
    here, there = churn.streamflow.generate(2000, 7), churn.streamflow.generate(2000, seed, world)
    for column in ("satisfaction", "monthly_price", "churned"):
        assert not np.array_equal(here.truth[column], there.truth[column])


def test_worlds_share_no_subscriber(churn: SimpleNamespace) -> None:
    ids = [
        set(churn.generate.table(churn.streamflow.generate(2000, 7, world))["subscriber_id"])
        for world in churn.streamflow.WORLDS
    ]
    assert len(ids) == 2
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("arguments", [["--rows", "0"], ["--seed", "-1"]])
def test_bad_arguments_are_refused(
    churn: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    path = tmp_path / "subscribers.csv"
    assert churn.generate.main([*arguments, "--output", str(path)]) == 1
    assert "expected rows >= 1" in capsys.readouterr().err
    assert not path.exists()


def test_failed_write_leaves_the_old_file_alone(churn: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "subscribers.csv"
    path.write_text("old")
    with pytest.raises(ValueError, match="zip"):
        churn.generate.write_csv({"a": ["1", "2"], "b": ["1"]}, path)
    with pytest.raises(UnicodeEncodeError):
        churn.generate.write_csv({"a": ["\ud800"]}, path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["subscribers.csv"]


def test_ids_and_emails_are_unique(rows: list[dict[str, str]]) -> None:
    assert len(rows) == 50_000
    assert len({row["subscriber_id"] for row in rows}) == 50_000
    assert len({row["email"] for row in rows}) == 50_000


def test_only_documented_columns_have_holes(rows: list[dict[str, str]]) -> None:
    holes = {column for column in rows[0] if share_missing(rows, column) > 0}
    assert holes == {"hours_per_week", "hours_trend_percent", "age", "survey_score"}


@pytest.mark.parametrize(
    ("column", "low", "high"),
    [
        ("tenure_months", 2, 102),
        ("discount_percent", 0, 50),
        ("monthly_price", 2, 26),
        ("total_spend", 5, 4000),
        ("payment_failures_90d", 0, 12),
        ("age", 18, 90),
        ("profiles", 1, 6),
        ("hours_per_week", 0.1, 120),
        ("hours_trend_percent", -100, 120),
        ("support_tickets_90d", 0, 15),
        ("survey_score", 1, 5),
        ("churned", 0, 1),
    ],
)
def test_numbers_lie_in_their_range(rows: list[dict[str, str]], column: str, low: float, high: float) -> None:
    values = np.array([float(row[column]) for row in rows if row[column]])
    assert low <= values.min() < values.max() <= high


def test_dates_are_in_order(rows: list[dict[str, str]]) -> None:
    snapshot = date(2026, 6, 30)
    for row in rows:
        signup, paid, active = (
            date.fromisoformat(row[f"{name}_date"]) for name in ("signup", "last_payment", "last_active")
        )
        assert signup <= paid <= snapshot
        assert signup <= active <= snapshot
        assert (snapshot - signup).days // 30 == int(row["tenure_months"])


def test_category_levels_and_the_rare_ones(rows: list[dict[str, str]]) -> None:
    rare = {
        "region": ("islands", 5),
        "device": ("vr_headset", 7),
        "payment_method": ("gift_card", 5),
        "gender": ("other", 3),
        "plan": ("student", 5),
        "autopay": ("false", 2),
    }
    limits = {
        "region": 0.01,
        "device": 0.005,
        "payment_method": 0.015,
        "gender": 0.03,
        "plan": 0.05,
        "autopay": 0.3,
    }
    for column, (level, levels) in rare.items():
        values = [row[column] for row in rows]
        assert len(set(values)) == levels
        assert 30 < values.count(level) < limits[column] * len(rows), column


def test_usage_is_missing_on_old_boxes(rows: list[dict[str, str]]) -> None:
    old = [row for row in rows if row["device"] == "legacy_box"]
    other = [row for row in rows if row["device"] != "legacy_box"]
    assert share_missing(old, "hours_per_week") == pytest.approx(0.95, abs=0.02)
    assert share_missing(other, "hours_per_week") == pytest.approx(0.01, abs=0.003)
    assert all((row["hours_per_week"] == "") == (row["hours_trend_percent"] == "") for row in rows)


def test_age_is_missing_where_partners_keep_it(rows: list[dict[str, str]]) -> None:
    partner = [row for row in rows if row["signup_channel"] == "partner"]
    other = [row for row in rows if row["signup_channel"] != "partner"]
    assert share_missing(partner, "age") == pytest.approx(0.45, abs=0.02)
    assert share_missing(other, "age") == pytest.approx(0.04, abs=0.005)


def test_survey_is_missing_not_at_random(full: Any) -> None:
    score, silent = full.truth["survey_score"], full.missing["survey_score"]
    answered = [1 - silent[score == s].mean() for s in range(1, 6)]
    assert answered == pytest.approx([0.45, 0.18, 0.07, 0.12, 0.35], abs=0.02)


def test_spend_and_hours_are_skewed_and_correlated_with_their_causes(full: Any) -> None:
    t = full.truth
    for column in ("total_spend", "hours_per_week", "tenure_months"):
        assert t[column].mean() > 1.2 * np.median(t[column]), column
    assert np.corrcoef(t["total_spend"], t["tenure_months"])[0, 1] > 0.7
    assert np.corrcoef(np.log(t["hours_per_week"]), t["satisfaction"])[0, 1] == pytest.approx(0.42, abs=0.05)


def test_latents_are_not_written(churn: SimpleNamespace, full: Any) -> None:
    written = set(churn.generate.table(full))
    assert not written & {"satisfaction", "p", "overdue", "age_mean", "number"}
    assert len(written) == 24


def test_churn_rate_and_the_label_follow_p(full: Any) -> None:
    p, label = full.truth["p"], full.truth["churned"]
    assert 0.15 < label.mean() < 0.20
    for low, high in [(0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1.0)]:
        inside = (p >= low) & (p < high)
        assert_mean_is(label[inside], p[inside])


def test_no_single_column_gives_the_label_away(churn: SimpleNamespace, rows: list[dict[str, str]]) -> None:
    label = np.array([int(row["churned"]) for row in rows])
    for column in set(rows[0]) - {"churned", "subscriber_id", "email"}:
        # Rates from one half, judged on the other: a column of many values cannot learn the labels by heart.
        values = np.array([row[column] for row in rows])
        if np.unique(values).size > 40:
            values = quantile_bins(values, column)
        half, (_, code) = values.size // 2, np.unique(values, return_inverse=True)
        count, churned = (np.bincount(code[:half], w, code.max() + 1) for w in (None, label[:half]))
        score = ((churned + label.mean()) / (count + 1))[code[half:]]
        assert churn.attainable.auc(score, label[half:]) < 0.78, column


def quantile_bins(cells: Any, column: str) -> Any:
    """40 bins of equal size for numbers and dates, and one for the missing; [n] of str."""
    present = cells != ""
    text = cells[present]
    dense = text.astype("datetime64[D]").astype(float) if column.endswith("_date") else text.astype(float)
    bins = np.full(cells.shape, "missing", dtype="U8")
    bins[present] = np.searchsorted(np.quantile(dense, np.linspace(0, 1, 41)[1:-1]), dense).astype(str)
    return bins


def assert_mean_is(outcomes: Any, probabilities: Any) -> None:
    """The outcomes' mean is the probabilities' within 4 standard errors (by chance once in 16,000)."""
    error = np.sqrt((probabilities * (1 - probabilities)).sum()) / probabilities.size
    assert abs(outcomes.mean() - probabilities.mean()) < 4 * error


def test_attainable_auc_is_as_documented(churn: SimpleNamespace, full: Any, attainable: Any) -> None:
    p, label, module = full.truth["p"], full.truth["churned"], churn.attainable
    assert module.expected_auc(p, p) == pytest.approx(0.8834, abs=0.0001)
    assert module.expected_auc(attainable, p) == pytest.approx(0.8599, abs=0.0001)
    # The labels as drawn agree with the expectation: 50,000 rows have a standard error of 0.002.
    assert module.auc(attainable, label) == pytest.approx(0.8599, abs=0.006)
    readme = (EXAMPLE / "README.md").read_text()
    assert "0.8599" in readme
    assert "0.8834" in readme


def test_finer_quadrature_changes_nothing(churn: SimpleNamespace) -> None:
    few = churn.streamflow.generate(3000, 3)
    finer = {name: 2 * count for name, count in churn.attainable.NODES.items()}
    difference = churn.attainable.attainable(few, finer) - churn.attainable.attainable(few)
    assert np.abs(difference).max() < 0.002


def test_quadrature_agrees_with_subscribers_drawn_forward(churn: SimpleNamespace) -> None:
    """An independent Monte Carlo: the process runs forward; nothing of the quadrature's likelihoods is used.

    In any group of rows made from the table's columns, the mean of E[p | columns] must be the mean of p.
    """
    many = churn.streamflow.generate(200_000, 99)
    q, t, missing = churn.attainable.attainable(many), many.truth, many.missing
    survey = np.where(missing["survey_score"], 0, t["survey_score"])
    hours = np.where(missing["hours_per_week"], -1.0, np.minimum(t["hours_per_week"] // 4, 5))
    trend = np.where(missing["hours_per_week"], -9.0, np.clip(t["hours_trend_percent"] // 20, -3, 3))
    groupings = [
        survey * 10 + np.minimum(t["support_tickets_90d"], 3),
        hours * 10 + np.minimum(t["days_idle"], 6),
        trend * 10 + survey,
        missing["age"] * 2 + missing["hours_per_week"],
        np.searchsorted(np.quantile(q, np.linspace(0, 1, 21)[1:-1]), q),
    ]
    tested = 0
    for groups in groupings:
        for group in np.unique(groups):
            inside = groups == group
            if inside.sum() >= 200:
                difference = t["p"][inside] - q[inside]
                assert abs(difference.mean()) < 4.5 * difference.std() / np.sqrt(difference.size) + 2e-4
                tested += 1
    assert tested > 80


def test_knowing_less_reaches_less(churn: SimpleNamespace, full: Any, attainable: Any) -> None:
    """E[p | columns] is never beaten by a score with satisfaction left out of the log-odds."""
    p = full.truth["p"]
    naive = churn.streamflow.churn_logit({**full.truth, "satisfaction": np.zeros_like(p)}, full.world)
    area = churn.attainable.expected_auc
    assert area(naive, p) + 0.003 < area(attainable, p) + 1e-9 < area(p, p)


def test_auc_matches_counting_pairs(churn: SimpleNamespace) -> None:
    score, label = np.array([0.1, 0.4, 0.4, 0.8, 0.2]), np.array([0, 1, 0, 1, 0])
    # 6 pairs: 5 in order, 1 tied.
    assert churn.attainable.auc(score, label) == pytest.approx(5.5 / 6)
    p = np.array([0.2, 0.9, 0.5])
    score = np.array([1.0, 2.0, 3.0])
    wins = 0.9 * 0.8 + 0.5 * (0.8 + 0.1)
    pairs = sum(p[i] * (1 - p[j]) for i in range(3) for j in range(3) if i != j)
    assert churn.attainable.expected_auc(score, p) == pytest.approx(wins / pairs)


def test_describe_says_both_limits(churn: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rows", "2000", "--output", str(tmp_path / "s.csv"), "--describe"]
    assert churn.generate.main(arguments) == 0
    text = capsys.readouterr().out
    assert "AUC of the true p" in text
    assert "AUC attainable" in text


def test_later_world_has_dearer_prices_and_more_churn(churn: SimpleNamespace) -> None:
    base, later = (churn.streamflow.generate(20_000, 7, world).truth for world in ("base", "price_rise"))
    standard = [
        t["monthly_price"][(t["plan"] == "standard") & (t["discount_percent"] == 0)].mean() for t in (base, later)
    ]
    assert standard[1] / standard[0] == pytest.approx(1.15, abs=0.01)
    assert later["churned"].mean() > base["churned"].mean() + 0.08
