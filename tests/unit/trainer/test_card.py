"""What the card of a trained model says of its rows."""

import pytest

from headrace.components.ingest.spec import DataSpec
from headrace.trainer.card import split_in_words

ROWS = {"train": 500, "eval": 200, "test": 300}
VALUES = {"train": ["tr"], "eval": ["va"], "test": [str(year) for year in range(2000, 2009)]}


def query(**split):
    """As a snapshot has it."""
    return DataSpec(source="x.csv", label="y", split=split).model_dump(mode="json")


@pytest.mark.parametrize(
    ("split", "id", "words"),
    [
        ({}, None, "by hash of all columns"),
        ({}, "customer", "by hash of customer"),
        ({"by": "group", "column": "patient"}, "visit", "by group of patient"),
        ({"by": "time", "column": "when"}, "id", "by time of when"),
        (
            {"by": "time", "column": "when", "eval_from": "2024-05-01", "test_from": "2024-06-01T12:30:00"},
            None,
            "by time of when, eval from 2024-05-01, test from 2024-06-01 12:30:00 (UTC)",
        ),
        ({"by": "column", "column": "part"}, None, "by column of part"),
        (
            {"by": "column", "column": "part", "values": VALUES},
            "id",
            "by column of part (train is tr; eval is va; test is 2000, 2001, 2002, 2003, 2004, 2005 and 3 more)",
        ),
        ({"by": "stratified"}, "id", "stratified by y"),
        ({"by": "stratified", "column": "plan"}, None, "stratified by plan"),
    ],
)
def test_the_split_is_told_by_its_own_column_and_the_shares_that_came_of_it(split, id, words):
    assert split_in_words(query(**split), id, ROWS) == f"{words}: 20.0% eval, 30.0% test"
