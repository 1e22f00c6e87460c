"""How distributions changed: bins that lose no row, distances that others compute alike, shifts that must not be missed."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon

from headrace.pipelines.data_versions import tables
from headrace.pipelines.data_versions.distributions import LEAST, distributions, divergence
from tests.unit.pipelines.data_versions.small_snapshots import schema, snapshot


def found(tmp_path, kind, before, after, other=None):
    """The distribution of one column, whose values lie in all three splits."""

    def write(name, values, type):
        parts = {"train": values[::2], "eval": values[1::4], "test": values[3::4]}
        splits = {split: [(value, "0") for value in part] for split, part in parts.items()}
        return snapshot(tmp_path / name, schema(x=type, label=pa.string()), splits)

    a, b = write("a", before, kind), write("b", after, other or kind)
    with tables.opened(a, b, tmp_path) as pair:
        every = distributions(pair)
    for one in every:
        assert sum(each.before for each in one.bins) == len(before)
        assert sum(each.after for each in one.bins) == len(after)
    return next((one for one in every if one.name == "x"), None)


@pytest.mark.parametrize(
    ("before", "after"),
    [([10, 20, 30], [10, 20, 30]), ([1, 99], [50, 50]), ([5, 0, 5], [0, 7, 3]), ([1000, 1], [1, 1000])],
)
def test_distances_are_those_of_the_textbook(before, after):
    psi, js = divergence(before, after)
    assert js == pytest.approx(jensenshannon(before, after, base=2) ** 2, abs=1e-12)
    a, b = (np.maximum(np.array(side) / sum(side), LEAST) for side in (before, after))
    assert psi == pytest.approx(np.sum((b - a) * np.log(b / a)))
    assert divergence(after, before) == pytest.approx((psi, js))


def test_versions_without_rows_differ_wholly_from_those_with():
    assert divergence([0, 0], [0, 0]) == (0.0, 0.0)
    assert divergence([0, 0], [3, 0])[1] == 1.0


def test_a_number_is_summed_up_as_numpy_does(tmp_path):
    rng = np.random.default_rng(3)
    before, after = rng.normal(size=4_000), rng.normal(loc=1.0, size=2_000)
    values = [None if place % 10 == 0 else float(value) for place, value in enumerate(before)]
    one = found(tmp_path, pa.float64(), values, after.tolist())
    known = np.array([value for value in values if value is not None])
    assert (one.kind, one.before.rows, one.before.missing, one.after.missing) == ("number", 4_000, 400, 0)
    assert (one.before.mean, one.before.std) == (pytest.approx(known.mean()), pytest.approx(known.std()))
    assert (one.before.min, one.before.max) == (known.min(), known.max())
    assert one.before.quantiles[2] == pytest.approx(np.median(known), abs=0.01)
    inner = [each for each in one.bins if each.upper is not None][1:]
    assert len(inner) == 10 and all(350 <= each.before <= 370 for each in inner)
    assert 0.1 < one.js < 0.5 and one.psi > 0.25


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([5.0] * 100, [3.0] * 100),  # both outside of each other's range
        ([0.0, 10.0] * 50, [0.0, 5.0] * 50),  # few values, between the deciles
        ([float(n) for n in range(100)], [float(n) for n in range(1000, 1100)]),
        ([float(n) for n in range(100)], [None] * 100),
        ([None] * 100, [float(n) for n in range(100)]),
    ],
)
def test_a_shift_is_not_missed_wherever_the_values_lie(tmp_path, before, after):
    assert found(tmp_path, pa.float64(), before, after).js > 0.1


def test_numbers_stay_comparable_when_their_type_changes_and_texts_do_not(tmp_path):
    one = found(tmp_path, pa.int64(), list(range(100)), [float(n) for n in range(100)], pa.float64())
    assert (one.js, one.psi) == (0.0, 0.0)
    (tmp_path / "other").mkdir()
    assert found(tmp_path / "other", pa.int64(), list(range(100)), [str(n) for n in range(100)], pa.string()) is None


def test_texts_new_values_and_the_many_others(tmp_path):
    before = ["a"] * 50 + ["b"] * 50 + [None] * 20 + [f"rare {n}" for n in range(80)]
    after = ["a"] * 60 + ["c"] * 40 + [None] * 20 + [f"rare {n}" for n in range(80)]
    one = found(tmp_path, pa.string(), before, after)
    bins = {each.label: (each.before, each.after) for each in one.bins}
    assert (bins["a"], bins["b"], bins["c"], bins["missing"]) == ((50, 60), (50, 0), (0, 40), (20, 20))
    assert bins["other values"] == (80 - 47, 80 - 47)  # 50 values have a bin of their own, three of them not rare
    assert (one.appeared, one.before.distinct, one.after.distinct) == (40, 82, 82)


def test_truth_values_days_and_times(tmp_path):
    folders = [tmp_path / name for name in ("bool", "date", "time")]
    for folder in folders:
        folder.mkdir()
    one = found(folders[0], pa.bool_(), [True, False] * 50, [True] * 100)
    assert [(each.label, each.before, each.after) for each in one.bins][:2] == [("true", 50, 100), ("false", 50, 0)]
    days = [date(2026, 1, 1 + n % 28) for n in range(100)]
    one = found(folders[1], pa.date32(), days, days)
    assert (one.kind, one.js, one.before.min) == ("date", 0.0, (date(2026, 1, 1) - date(1970, 1, 1)).days)
    assert "2026-01-02" in {each.label for each in one.bins}
    times = [datetime(2026, 1, 1, n % 24, n % 60, tzinfo=UTC) for n in range(400)]
    one = found(folders[2], pa.timestamp("us", tz="UTC"), times, times)
    assert one is None  # a snapshot's timestamps have no zone of their own
    (tmp_path / "plain").mkdir()
    plain = [moment.replace(tzinfo=None) for moment in times]
    one = found(tmp_path / "plain", pa.timestamp("us"), plain, plain)
    assert (one.kind, one.js) == ("timestamp", 0.0)
    assert one.bins[0].label == "< 2026-01-01 00:00:00"


def test_images_and_ids_have_no_distribution(tmp_path):
    kinds = schema(id=pa.string(), image=pa.binary(), label=pa.string())
    a = snapshot(tmp_path / "a", kinds, {"train": [("1", b"x", "0")]})
    b = snapshot(tmp_path / "b", kinds, {"train": [("1", b"y", "1")]})
    with tables.opened(a, b, tmp_path) as pair:
        assert [one.name for one in distributions(pair)] == ["label"]
