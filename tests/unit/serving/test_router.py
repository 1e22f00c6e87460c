from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.artifacts.slots import deal
from headrace.serving.exchange import HttpError, Request
from headrace.serving.router import Router
from headrace.serving.target import Member, Plan, Target


def router(shares: dict[str, int], key: str = "", experiment: str = "e") -> Router:
    members = tuple(Member(Target(Path("/b"), version), share) for version, share in shares.items())
    slots = deal({str(place): share for place, share in enumerate(shares.values())})
    served: Any = tuple(SimpleNamespace(version=version, digest=f"sha256:{version}") for version in shares)
    return Router(served, Plan(members, key, experiment, tuple(map(int, slots))))


def request(body: bytes = b"{}", **headers: str) -> Request:
    found = Request("POST", "/predict", body, {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()})
    found.id = b"id"
    return found


def chosen(router: Router, asked: Request, **more: Any) -> str | None:
    return router.choose(asked, **more).version


def test_a_key_decides_wherever_it_stands() -> None:
    found = router({"3": 60, "4": 40})
    for number in range(50):
        key = f"user-{number}"
        asked = request(x_routing_key=key)
        version = chosen(found, asked)
        assert asked.key == key.encode()
        for body in (b'{"parameters": {"key": "%b"}}', b'{"instances": [1], "parameters": {"other": 1, "key": "%b"}}'):
            assert chosen(found, request(body % key.encode())) == version
        assert chosen(router({"3": 60, "4": 40}, key="X-User"), request(x_user=key)) == version
    assert chosen(found, request(b'{"parameters": {"key": 7}}')) == chosen(found, request(x_routing_key="7"))
    assert chosen(found, request(b'{"parameters": null}')) == chosen(found, request())  # by its id


def test_the_shares_are_kept_and_another_experiment_deals_anew() -> None:
    found, other = router({"3": 70, "4": 20, "5": 10}), router({"3": 70, "4": 20, "5": 10}, experiment="f")
    keys = [f"user-{number}" for number in range(5000)]
    dealt = [chosen(found, request(x_routing_key=key)) for key in keys]
    counts = Counter(dealt)
    for version, share in (("3", 3500), ("4", 1000), ("5", 500)):
        assert abs(counts[version] - share) < 4 * share**0.5
    again = [chosen(other, request(x_routing_key=key)) for key in keys]
    assert sum(one != two for one, two in zip(dealt, again, strict=True)) > 1500


def test_without_keys_requests_are_dealt_by_their_ids() -> None:
    found = router({"3": 50, "4": 50})
    counts: Counter[str | None] = Counter()
    for number in range(2000):
        asked = request()
        asked.id = b"request-%d" % number
        counts[chosen(found, asked)] += 1
        assert asked.key == b""
    assert abs(counts["3"] - 1000) < 150


def test_a_client_may_name_the_version_where_it_is_allowed() -> None:
    found = router({"3": 99, "4": 1})
    four = found.by_version["4"]
    assert chosen(found, request(x_model_version="4")) == "4"
    assert found.choose(request(), four) is four
    for asked, more, status, told in (
        (request(x_model_version="5"), {}, 404, r"expected a version that is served \(3, 4\). Received: 5"),
        (request(x_model_version="3"), {"named": four}, 404, "Received: 3"),
        (request(x_model_version="3"), {"by_name": False}, 403, "here the server chooses"),
        (request(), {"named": four, "by_name": False}, 403, "here the server chooses"),
    ):
        with pytest.raises(HttpError, match=told) as raised:
            found.choose(asked, **more)
        assert raised.value.status == status


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"parameters": {"key": true}}', "parameters.key: expected a text or a whole number"),
        (b'{"parameters": {"key": ["a"]}}', "parameters.key: expected"),
        (b'{"parameters": {"key": "%b"}}' % (b"a" * 600), "expected a key of at most 512 bytes. Received: 600"),
    ],
)
def test_what_is_no_key(body: bytes, told: str) -> None:
    with pytest.raises(HttpError, match=told):
        router({"3": 50, "4": 50}).choose(request(body))


@pytest.mark.parametrize(
    "body", [b'"parameters"', b'{"parameters": {"key": "a"', b"[" * 100_000 + b'"parameters"', b'\xff"parameters"']
)
def test_a_body_that_is_no_json_has_no_key(body: bytes) -> None:
    asked = request(body)
    try:
        router({"3": 50, "4": 50}).choose(asked)
    except HttpError as error:
        assert error.status == 400
    assert asked.key == b""


def test_one_version_alone_is_told_and_no_key_is_looked_for() -> None:
    served: Any = SimpleNamespace(version="3", digest="sha256:3")
    alone = Router((served,), Plan.of(Target(Path("/b"), "3")))
    asked = request(b'{"parameters": {"key": true}}', x_routing_key="a")
    assert alone.choose(asked) is served and asked.key == b""
    assert alone.about(served) == ((b"x-model-version", b"3"),) and alone.described() == {}
    split = router({"3": 90, "4": 10})
    assert split.about(split.all[1]) == ((b"x-model-version", b"4"), (b"x-experiment", b"e"))
    assert split.variant(split.all[1]) == "e:4" and alone.variant(served) == ""
    assert split.described() == {"split": {"experiment": "e", "key": "x-routing-key", "traffic": {"3": 90, "4": 10}}}


def test_a_plan_survives_the_way_to_the_workers() -> None:
    plan = Plan((Member(Target(Path("/a"), "3"), 90), Member(Target(Path("/b")), 10), Member(Target(Path("/c"), "5"), 0, True)),
                "x-user", "churn-4", (1,) * 10 + (0,) * 90)  # fmt: skip
    assert Plan.from_dict(plan.to_dict()) == plan
    assert str(plan) == "version 3 90%, /b 10%, version 5 as a shadow"
    assert plan.targets == (Target(Path("/a"), "3"), Target(Path("/b"))) and plan.shadows == (Target(Path("/c"), "5"),)
