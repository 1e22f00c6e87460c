"""How encodings are written in the spec."""

import pytest

from headrace.trainer.features.steps import Step, misfit, parse_steps


def names(value) -> list[list[str]]:
    return [[step.name for step in chain] for chain in parse_steps(value)]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("one_hot", [["one_hot"]]),
        (["log", "standardize"], [["log", "standardize"]]),
        (["age", "month", "weekday"], [["age"], ["month"], ["weekday"]]),
        (["age", "log", "month"], [["age", "log"], ["month"]]),
        (["one_hot", "target"], [["one_hot"], ["target"]]),
        (["month", "one_hot"], [["month", "one_hot"]]),
        ([{"bucket": 10}, "one_hot"], [["bucket", "one_hot"]]),
        (["code", "one_hot"], [["code"], ["one_hot"]]),
        ([["log", "standardize"], {"bucket": 5}], [["log", "standardize"], ["bucket"]]),
        (["keep", "missing"], [["keep"], ["missing"]]),
        ([{"hash": 64}, "target", "missing"], [["hash", "target"], ["missing"]]),
    ],
)
def test_a_list_is_read_from_left_to_right(written, read):
    assert names(written) == read


def test_arguments():
    assert parse_steps({"clip": [0.1, 0.9]}) == ((Step("clip", (0.1, 0.9)),),)
    assert parse_steps({"impute": -1}) == ((Step("impute", -1),),)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("onehot", "expected one of the steps keep, log"),
        ([], "expected at least one step. Received: none"),
        ({"bucket": 1}, "bucket: expected a whole number from 2 to 1,000. Received: 1"),
        ({"bucket": [3, 1]}, "bucket: expected the edges in ascending order. Received: [3, 1]"),
        ({"clip": [0.9, 0.1]}, "clip: expected two shares of the rows, such as [0.01, 0.99]. Received: [0.9, 0.1]"),
        ({"log": 3}, "log: expected no argument. Received: 3"),
        ({"hash": True}, "hash: expected a whole number"),
        ({"ordinal": ["a", "a"]}, "ordinal: expected the values in their order, as texts"),
        ({"impute": "mode"}, "impute: expected median, mean or a number. Received: 'mode'"),
        ({"words": {"ngrams": [2, 1]}}, "words: expected ngrams such as [1, 2]"),
        ({"words": {"stem": True}}, "and no `stem`"),
        ({"log": None, "clip": None}, "expected one step with its argument"),
    ],
)
def test_mistakes(written, message):
    with pytest.raises(ValueError) as raised:
        parse_steps(written)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("written", "type", "message"),
    [
        (
            "one_hot",
            "number",
            "expected a category or a text for the step `one_hot`. Received: a number, from the column",
        ),
        ("month", "number", "expected a date for the step `month`. Received: a number"),
        ("log", "text", "Received: a text, from the column; what fits a text: code, ordinal, one_hot"),
        (["one_hot", "log"], "category", "Received: several columns, from `one_hot`; nothing follows it"),
        ("hash", "category", "expected a text for the step `hash`. Received: a category"),
    ],
)
def test_steps_that_do_not_fit_their_column(written, type, message):
    assert message in misfit(parse_steps(written)[0], type)


@pytest.mark.parametrize(
    ("written", "type"),
    [
        (["log", "standardize"], "date"),
        (["code", "standardize"], "category"),
        ([{"bucket": 3}, "target"], "boolean"),
        (["month", "one_hot"], "date"),
        (["hash", "one_hot"], "text"),
    ],
)
def test_steps_that_fit(written, type):
    assert all(misfit(chain, type) is None for chain in parse_steps(written))
