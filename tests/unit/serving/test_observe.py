"""Request ids, traces, and which requests are looked at."""

from __future__ import annotations

import os

import pytest

from headrace.serving.exchange import Request, Response
from headrace.serving.observe import REQUEST_ID, identified, request_id, sampled, trace_of


def request(**headers: str) -> Request:
    return Request(
        "POST", "/predict", b"", {name.replace("_", "-").encode(): v.encode() for name, v in headers.items()}
    )


@pytest.mark.parametrize("given", ["abc", "!", "~" * 128, "a/b:c"])
def test_a_client_may_give_the_id(given: str) -> None:
    assert request_id(request(x_request_id=given)) == given.encode()


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "x" * 129, "é", "a\x7f"])
def test_an_id_that_could_do_harm_is_not_taken(given: str) -> None:
    assert len(request_id(request(x_request_id=given))) == 32


def test_ids_are_made_once_in_all_processes() -> None:
    own = {request_id(request()) for _ in range(1000)}
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, request_id(request()))
        os._exit(0)
    os.waitpid(pid, 0)
    other = os.read(ours, 100)
    assert len(own) == 1000 and len(other) == 32
    assert other[:20] not in {one[:20] for one in own}


def test_the_answer_repeats_the_id() -> None:
    answer = identified(Response(200, b"{}", headers=((b"a", b"b"),), close=True), b"abc")
    assert answer == Response(200, b"{}", headers=((b"a", b"b"), (REQUEST_ID, b"abc")), close=True)
    assert isinstance(answer, Response)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_a_share_of_the_requests_is_sampled(share: float) -> None:
    count = sum(sampled(request_id(request()), share) for _ in range(20_000))
    assert abs(count / 20_000 - share) < 0.01
    assert sampled(b"abc", share) == sampled(b"abc", share)


def test_a_trace_is_read() -> None:
    found = trace_of(request(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    assert found == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True)
    later = trace_of(request(traceparent="01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more"))
    assert later is not None and not later.sampled


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "x" * 10_000,
    ],
)
def test_a_broken_trace_is_none(given: str) -> None:
    assert trace_of(request(traceparent=given)) is None
