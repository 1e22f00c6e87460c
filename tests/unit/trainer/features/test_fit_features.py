"""What features a kind of model gets, what the graph makes of them, and what is said about it."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.transform import OUT_OF_FOLD
from headrace.components.transform.report import render
from headrace.trainer.features import training_rows
from headrace.trainer.matrix import feature_matrix
from tests.unit.trainer.features.encoding import transformed, values

ROWS = 600
NAN = np.nan


@pytest.fixture(scope="module")
def rides() -> pa.Table:
    random = np.random.default_rng(0)
    x = random.normal(size=ROWS)
    start = datetime.datetime(2023, 1, 1)
    return pa.table(
        {
            "y": [str(int(value > 0)) for value in x + random.normal(size=ROWS)],
            "x": pa.array(np.where(random.random(ROWS) < 0.2, NAN, x), from_pandas=True),
            "fare": np.exp(2 * random.normal(size=ROWS)),
            "plan": random.choice(["gold", "basic", "pro"], ROWS),
            "night": random.random(ROWS) < 0.3,
            "since": [start + datetime.timedelta(hours=int(hours)) for hours in random.integers(0, 17_000, ROWS)],
            "agent": [f"agent {number}" for number in random.integers(0, 40, ROWS)],
        }
    )


def kinds(opened) -> dict[str, str]:
    return {feature.name: feature.kind for feature in opened.recipe.outputs}


def test_trees_get_the_matrix_as_it_is(tmp_path, rides):
    opened, made = transformed(tmp_path, rides, drop=["agent"])
    assert kinds(opened) == {"x": "number", "fare": "number", "plan": "code", "night": "number", "since": "number"}
    by_name = {feature.name: feature for feature in opened.recipe.outputs}
    assert (by_name["x"].raw, by_name["x"].made, by_name["plan"].raw, by_name["plan"].made) == (
        "x",
        "as it is",
        None,
        "its code",
    )
    np.testing.assert_array_equal(made["x"], rides["x"].to_numpy().astype(np.float32))
    assert opened.recipe.fitted == {"encodings": [], "left_out": {}} and opened.out_of_fold is None


def test_trees_get_the_target_encoding_of_many_values_beside_their_codes(tmp_path, rides):
    opened, _ = transformed(tmp_path, rides)
    by_name = {feature.name: feature for feature in opened.recipe.outputs}
    assert by_name["agent"].kind == "code" and by_name["target(agent)"].out_of_fold
    assert any(note.startswith("`agent`: its code and its target encoding") for note in opened.recipe.notes)


def test_a_linear_model_gets_numbers_of_one_scale_without_gaps(tmp_path, rides):
    opened, made = transformed(tmp_path, rides, "linear", drop=["agent"])
    whole = np.column_stack(list(made.values()))
    assert np.isfinite(whole).all()
    for name in ("x", "fare", "night", "age(since)"):
        assert abs(made[name].mean()) < 1e-5 and abs(made[name].std() - 1) < 1e-4, name
    np.testing.assert_array_equal(made["missing(x)"], rides["x"].is_null().to_numpy())
    np.testing.assert_array_equal(made["plan=gold"], [plan == "gold" for plan in rides["plan"].to_pylist()])
    assert {"month(since)=May", "weekday(since)=Sunday", "hour(since)=23"} <= set(made)
    unseen = rides.slice(0, 2).set_column(3, "plan", pa.array(["never seen", None]))
    again = values(opened, unseen)
    assert not any(again[name].any() for name in made if name.startswith("plan="))


def test_a_network_gets_codes_to_embed(tmp_path, rides):
    opened, made = transformed(tmp_path, rides, "mlp")
    sizes = {feature.name: feature.size for feature in opened.recipe.outputs if feature.kind == "code"}
    assert sizes == {"plan": 3, "agent": 40, "month(since)": 12, "weekday(since)": 7, "hour(since)": 24}
    for name, size in sizes.items():
        assert np.nanmin(made[name]) >= 0 and np.nanmax(made[name]) <= size
    assert np.isfinite(made["x"]).all() and set(np.unique(made["missing(x)"])) == {0, 1}


def test_what_the_spec_says_goes_before_the_kind_of_model(tmp_path, rides):
    encode = {
        "fare": [["log", "standardize"], {"bucket": 4}],
        "plan": {"ordinal": ["basic", "pro", "gold"]},
        "since": ["age", "month"],
    }
    opened, made = transformed(tmp_path, rides, encode=encode)
    assert [name for name in made if "fare" in name or "plan" in name or "since" in name] == [
        "fare", "bucket(fare)", "ordinal(plan)", "age(since)", "month(since)",
    ]  # fmt: skip
    log = np.log1p(rides["fare"].to_numpy())
    np.testing.assert_allclose(made["fare"], (log - log.mean()) / log.std(), rtol=1e-5, atol=1e-6)
    assert {feature.name: feature.made for feature in opened.recipe.outputs}["fare"] == "standardize(log(fare))"
    steps = [(each["step"], each["of"]) for each in opened.recipe.fitted["encodings"]]
    assert ("Scale", ["log(fare)"]) in steps


def test_two_encodings_never_share_a_name(tmp_path, rides):
    _, made = transformed(tmp_path, rides, encode={"fare": [["log"], ["log", "standardize"], ["log"]]})
    assert [name for name in made if "fare" in name] == ["fare", "log(fare)", "standardize(log(fare))"]


def test_encodings_stand_behind_constructs_which_may_name_each_other(tmp_path, rides):
    opened, made = transformed(
        tmp_path, rides, "linear", construct={"ratio": "fare / 2", "twice": "ratio * 4", "loud": "upper(plan)"},
        encode={"twice": "log", "loud": "one_hot"}, drop=["agent", "plan"],
    )  # fmt: skip
    np.testing.assert_allclose(made["twice"], np.log1p(2 * rides["fare"].to_numpy()), rtol=1e-6)
    np.testing.assert_array_equal(made["loud=GOLD"], [plan == "gold" for plan in rides["plan"].to_pylist()])
    assert "plan=gold" not in made  # it is dropped, and only an ingredient
    assert any("`plan` is read by expressions alone: dropped by the spec" in note for note in opened.recipe.notes)


def test_a_hash_needs_no_vocabulary(tmp_path, rides):
    opened, made = transformed(tmp_path, rides, encode={"agent": {"hash": 16}})
    (column,) = [item for item in opened.recipe.inputs if item.name == "agent"]
    assert (column.type, column.vocabulary) == ("text", ())
    assert set(np.unique(made["hash(agent)"])) <= set(range(1, 17))


def test_missing_indicators_for_all_that_have_gaps_for_none_or_for_those_named(tmp_path, rides):
    def indicators(kind, wanted):
        return [name for name in transformed(tmp_path, rides, kind, missing_indicators=wanted)[1] if "missing(" in name]

    assert indicators("gbdt", True) == ["missing(x)"]
    assert indicators("linear", False) == []
    assert indicators("gbdt", ["fare", "plan"]) == ["missing(fare)", "missing(plan)"]


def test_auto_says_what_it_chose_and_why(tmp_path, rides):
    random = np.random.default_rng(1)
    told = [" ".join(random.choice(["late", "slow", "kind", "dear", "clean"], 6)) + f" ride{i}" for i in range(ROWS)]
    table = rides.append_column("told", pa.array(told))
    opened, made = transformed(tmp_path, table, "linear", auto=True)
    assert {"words(told)=late", "words(told)=slow"} <= set(made) and not any("ride7" in name for name in made)
    assert {feature.name: feature.made for feature in opened.recipe.outputs}["fare"] == "standardize(impute(log(fare)))"
    notes = " ".join(opened.recipe.notes)
    assert (
        "`told`: the words of its texts" in notes and "`fare`: its logarithm" in notes and "`since`: also its" in notes
    )
    plain, _ = transformed(tmp_path, table, "linear")
    assert plain.recipe.excluded["told"].endswith("(features.text learns from their words)")


def test_hundreds_of_columns_make_a_small_graph(tmp_path):
    random = np.random.default_rng(2)
    table = pa.table({f"x{i}": random.normal(size=200) for i in range(300)} | {"y": [str(i % 2) for i in range(200)]})
    opened, made = transformed(tmp_path, table, "linear")
    import onnx

    assert len(made) == 300 and len(onnx.load(opened.features).graph.node) < 10


def test_selection_leaves_what_says_something_and_asks_for_nothing_else(tmp_path):
    random = np.random.default_rng(3)
    signal = random.normal(size=ROWS)
    noise = {f"noise{i}": random.normal(size=ROWS) for i in range(8)}
    columns = {"signal": signal, "copy": signal * 2 + 1e-4 * noise["noise0"], "same": np.full(ROWS, 3.0), **noise}
    table = pa.table({**columns, "y": [str(int(each > 0)) for each in signal]})
    keep = {"keep": ["same"]}
    kept, made = transformed(tmp_path, table, **keep, select={"variance": 0})
    assert (
        "same" not in made
        and kept.recipe.excluded["same"] == "left out by features.select: variance: a variance of at most 0"
    )
    _, made = transformed(tmp_path, table, **keep, select={"correlation": 0.95})
    assert len({"signal", "copy"} & set(made)) == 1
    for method in ("mutual_information", "chi_squared", "importance", "recursive"):
        opened, made = transformed(tmp_path, table, **keep, select={method: 2})
        # Trees that have one of two equal columns have no use for the other.
        assert len(made) == 2 and len({"signal", "copy"} & set(made)) == (1 if method == "recursive" else 2), method
        assert set(opened.recipe.columns) == set(made)
        assert opened.recipe.fitted["left_out"]["noise3"].startswith(f"{method}: ")
    with pytest.raises(HeadraceError, match=r"features\.reduce\.pca: expected at most as many components"):
        transformed(tmp_path, table, reduce={"pca": 100})


def test_selection_looks_at_target_encodings_out_of_fold(tmp_path):
    """In fold, a column of many values would look like the best of all."""
    random = np.random.default_rng(4)
    x = random.normal(size=ROWS)
    table = pa.table(
        {
            "many": [f"v{i}" for i in random.integers(0, 200, ROWS)],
            "x": x,
            "y": [str(int(each > 0)) for each in x + 2 * random.normal(size=ROWS)],
        }
    )
    _, made = transformed(tmp_path, table, encode={"many": {"target": 0.5}}, select={"mutual_information": 1})
    assert list(made) == ["x"]


def test_principal_components_are_those_of_scikit_learn(tmp_path):
    random = np.random.default_rng(5)
    x = random.normal(size=(ROWS, 3)) @ random.normal(size=(3, 5))
    table = pa.table(
        {
            **{f"x{i}": x[:, i] for i in range(5)},
            "plan": random.choice(["a", "b"], ROWS),
            "y": [str(i % 2) for i in range(ROWS)],
        }
    )
    opened, made = transformed(tmp_path, table, reduce={"pca": 3})
    assert list(made) == ["plan", "component 1", "component 2", "component 3"]
    expected = PCA(3).fit_transform(StandardScaler().fit_transform(x))
    for place in range(3):
        got = made[f"component {place + 1}"]
        np.testing.assert_allclose(got * np.sign(got[0]), expected[:, place] * np.sign(expected[0, place]), atol=1e-4)
    assert "3 principal components hold 100.0% of the variance of 5 numbers" in opened.recipe.notes


def test_wide_features_that_are_mostly_zero_come_sparse_and_equal(tmp_path):
    random = np.random.default_rng(6)
    table = pa.table(
        {
            "agent": [f"agent {i}" for i in random.integers(0, 400, 4_000)],
            "x": random.normal(size=4_000),
            "y": [str(i % 2) for i in range(4_000)],
        }
    )
    opened, made = transformed(tmp_path, table, "linear")
    train = Dataset.open(tmp_path / "data").table("train", opened.recipe.columns)
    matrix = feature_matrix(opened, train, "train")
    assert scipy.sparse.issparse(matrix) and matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix.toarray(), np.column_stack(list(made.values())))


def test_large_splits_are_sampled_evenly(tmp_path, rides, monkeypatch):
    monkeypatch.setattr(training_rows, "SAMPLE_ROWS", 100)
    opened, _ = transformed(tmp_path, rides, "linear", encode={"fare": "min_max"})
    places = np.unique(np.linspace(0, ROWS - 1, 100).astype(np.int64))
    (scale,) = [each for each in opened.recipe.fitted["encodings"] if each["of"] == ["fare"]]
    assert scale["shift"] == [rides["fare"].to_numpy()[places].min()]


def test_a_regression_and_weights(tmp_path, rides):
    table = rides.set_column(0, "y", pa.array(np.arange(ROWS) / 7.0)).append_column("w", pa.array(np.arange(ROWS) % 3))
    opened, _ = transformed(
        tmp_path, table, task="regression", sample_weight="w", encode={"plan": {"target": 0}}, drop=["agent"]
    )
    assert opened.recipe.excluded["w"] == "the weight of its row"
    learned = next(each for each in opened.recipe.fitted["encodings"] if each["step"] == "Table")["tables"][0]
    code = 1 + next(item for item in opened.recipe.inputs if item.name == "plan").vocabulary.index("gold")
    rows = np.array([plan == "gold" for plan in table["plan"].to_pylist()])
    weights = table["w"].to_numpy()[rows]
    assert learned[code][0] == pytest.approx(np.average(np.arange(ROWS)[rows] / 7.0, weights=weights))


def test_the_same_data_gives_the_same_transform(tmp_path, rides):
    sections = {"encode": {"agent": ["target", {"hash": 8}]}, "select": {"importance": 4}}
    one, _ = transformed(tmp_path, rides, **sections)
    two, _ = transformed(tmp_path, rides, **sections)
    assert one.digest == two.digest and (one.path / OUT_OF_FOLD).exists() == (two.path / OUT_OF_FOLD).exists()


def test_the_report_shows_all_of_it(tmp_path, rides):
    opened, _ = transformed(tmp_path, rides, "linear", auto=True, drop=["night"], select={"importance": 9})
    page = render(opened.recipe)
    for text in (
        "What was chosen, and why",
        "standardize(impute(log(fare)))",
        "dropped by the spec",
        "Not selected",
        "Scale of",
    ):
        assert text in page, text
