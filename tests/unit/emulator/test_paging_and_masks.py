"""Pages of lists, their order, and masks of fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.emulator import masks, paging
from headrace.emulator.refusals import Refusal


def named(numbers):
    return [{"name": str(number)} for number in numbers]


@given(st.integers(0, 40), st.integers(0, 50))
def test_pages_make_up_the_list(count, size):
    documents, token, seen = named(range(count)), "", []
    for _ in range(count + 1):
        shown, token = paging.page(documents, str(size), token, default=7)
        assert len(shown) <= (size or 7)
        seen += shown
        if not token:
            break
    assert seen == documents


def test_a_list_that_changes_between_pages():
    shown, token = paging.page(named(range(10)), "4", "")
    assert [each["name"] for each in shown] == ["0", "1", "2", "3"]
    grown, _ = paging.page(named([11, 10, *range(10)]), "4", token)
    assert [each["name"] for each in grown] == ["4", "5", "6", "7"]
    first_page_deleted, last = paging.page(named(range(4, 10)), "4", token)
    assert [each["name"] for each in first_page_deleted] == ["4", "5", "6", "7"] and last
    own_first_deleted, _ = paging.page(named([0, 1, 2, 3, 5, 6, 7, 8]), "4", token)
    assert [each["name"] for each in own_first_deleted] == ["5", "6", "7", "8"]
    runs = [{"run_id": each["name"]} for each in named(range(6))]
    _, token = paging.page(runs, "2", "", identity="run_id")
    assert paging.page(runs[1:], "2", token, identity="run_id")[0] == runs[2:4]


@pytest.mark.parametrize(
    ("size", "token"), [("x", ""), ("-1", ""), ("1", "zzz"), ("1", "W10="), ("1", "ä"), ("1", "MQ==")]
)
def test_pages_that_are_refused(size, token):
    with pytest.raises(Refusal, match="page"):
        paging.page(named(range(3)), size, token)


def test_orders():
    documents = [{"n": 2, "a": {"b": "x"}}, {"n": 10}, {}, {"n": 2, "a": {"b": "a"}}]
    assert paging.ordered(documents, "") == documents
    assert paging.ordered(documents, "n desc, a.b") == [{"n": 10}, documents[3], documents[0], {}]
    times = [{"createTime": "2026-01-02"}, {"createTime": "2026-01-01"}]
    assert paging.ordered(times, "create_time asc") == times[::-1]
    for order in ("n up", "n desc desc"):
        with pytest.raises(Refusal, match="order_by"):
            paging.ordered(documents, order)


RESOURCE = {
    "name": "m",
    "displayName": "old",
    "labels": {"a": "1", "b_c": "2"},
    "spec": {"image": "i", "port": 1},
    "etag": "e",
}


@pytest.mark.parametrize(
    ("wanted", "mask", "expected"),
    [
        ({"displayName": "new", "labels": {}}, "displayName", {"displayName": "new"}),
        ({"displayName": "new"}, "display_name,labels", {"displayName": "new", "labels": None}),
        ({"labels": {"b_c": "3"}}, "labels.b_c", {"labels": {"a": "1", "b_c": "3"}}),
        ({"labels": {}}, "labels.a", {"labels": {"b_c": "2"}}),
        ({"spec": {"image": "j"}}, "spec.image", {"spec": {"image": "j", "port": 1}}),
        ({"displayName": "new", "name": "other", "etag": "f"}, "", {"displayName": "new"}),
        ({"displayName": "new"}, "*", {"displayName": "new"}),
        ({}, "gone.deeper.still", {}),
        ({"gone": {"deeper": 1}}, "gone.deeper", {"gone": {"deeper": 1}}),
        ({}, "", {}),
    ],
)
def test_updates(wanted, mask, expected):
    after = masks.update(RESOURCE, wanted, mask)
    assert after == {name: value for name, value in {**RESOURCE, **expected}.items() if value is not None}


def test_updates_of_allowed_fields_only():
    whole = {**RESOURCE, "displayName": "new", "spec": {}}
    assert masks.update(RESOURCE, whole, "", ["displayName"]) == {**RESOURCE, "displayName": "new"}
    with pytest.raises(Refusal, match="spec cannot be updated; displayName can"):
        masks.update(RESOURCE, whole, "spec", ["displayName"])
    with pytest.raises(Refusal, match="displayName has no fields"):
        masks.update(RESOURCE, {"displayName": {"x": 1}}, "displayName.x")
    assert RESOURCE["displayName"] == "old"


def test_read_masks():
    assert masks.read(RESOURCE, "") == RESOURCE and masks.read(RESOURCE, "*") == RESOURCE
    assert masks.read(RESOURCE, "name, display_name,gone") == {"name": "m", "displayName": "old"}
    assert masks.read(RESOURCE, "labels.b_c,spec.port") == {"labels": {"b_c": "2"}, "spec": {"port": 1}}
