"""Bags of words against scikit-learn's, whose tokens, counts, idf and lengths they must be."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from tests.unit.trainer.features.encoding import transformed, values

WORDS = [
    "refund",
    "late",
    "card",
    "Münze",
    "日本語",
    "x1",
    "a_b",
    "don't",
    "o'clock",
    "ÜBER",
    "über",
    "great",
    "slow",
    "42",
    "i",
]


@pytest.fixture(scope="module")
def notes() -> pa.Table:
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(0, 9))) for _ in range(400)]
    texts[3:6] = ["", None, "i !!"]
    return pa.table({"note": pa.array(texts), "x": np.arange(400.0), "y": [str(i % 2) for i in range(400)]})


def of_note(made: dict[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    names = [name for name in made if name.startswith("words(note)=")]
    return [name.removeprefix("words(note)=") for name in names], np.column_stack([made[name] for name in names])


@pytest.mark.parametrize(
    ("options", "vectorizer"),
    [
        ({}, TfidfVectorizer(min_df=2)),
        ({"ngrams": [1, 3], "at_least": 3}, TfidfVectorizer(ngram_range=(1, 3), min_df=3)),
        ({"ngrams": [2, 2], "weight": "count"}, CountVectorizer(ngram_range=(2, 2), min_df=2)),
        ({"weight": "binary", "at_least": 1}, CountVectorizer(binary=True)),
        (
            {"analyzer": "char", "ngrams": [2, 4], "at_least": 5},
            TfidfVectorizer(analyzer="char", ngram_range=(2, 4), min_df=5),
        ),
    ],
)
def test_as_scikit_learn_counts(tmp_path, notes, options, vectorizer):
    _, made = transformed(tmp_path, notes, "linear", text={"note": {"most": 100_000, **options}})
    names, got = of_note(made)
    texts = [text or "" for text in notes["note"].to_pylist()]
    expected = vectorizer.fit_transform(texts).toarray()
    known = list(vectorizer.get_feature_names_out())
    assert sorted(names) == sorted(known)
    np.testing.assert_allclose(got, expected[:, [known.index(name) for name in names]], atol=1e-6)


def test_the_commonest_are_kept(tmp_path, notes):
    opened, made = transformed(tmp_path, notes, text={"note": {"most": 3}})
    names, _ = of_note(made)
    counted = CountVectorizer(binary=True).fit(text or "" for text in notes["note"].to_pylist())
    counts = counted.transform(text or "" for text in notes["note"].to_pylist()).sum(0).A1
    ranked = sorted(zip(-counts, counted.get_feature_names_out(), strict=True))
    assert sorted(names) == sorted(name for _, name in ranked[:3])
    assert opened.recipe.inputs[0].type == "text"


def test_rows_without_a_word_are_zero_alone_and_together(tmp_path, notes):
    opened, _ = transformed(tmp_path, notes, text=["note"])
    blank = pa.table({"note": pa.array(["", None, "!!"]), "x": [0.0] * 3})
    for rows in (blank, blank.slice(0, 1), blank.slice(1, 1)):
        assert not of_note(values(opened, rows))[1].any()


def test_texts_without_a_common_word_give_nothing_but_a_note(tmp_path):
    table = pa.table(
        {
            "note": [f"only{i} once{i} here{i}" for i in range(50)],
            "x": np.arange(50.0),
            "y": [str(i % 2) for i in range(50)],
        }
    )
    opened, made = transformed(tmp_path, table, text=["note"])
    assert list(made) == ["x"]
    assert "`note`: no words, as none is in enough of its texts" in opened.recipe.notes
