"""The process that loads the next model first: however it ends, or does not, the server goes on."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.serving import swap as swapping
from headrace.serving import switch
from headrace.serving.settings import Settings
from headrace.serving.swap import Stopped, SwapFailed, swap
from headrace.serving.target import Target

HANGS = 30.0  # seconds; a test that waits for them has failed


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "LOAD_SECONDS", 0.5)


def loading(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    monkeypatch.setattr(switch, "load", lambda *_: load())


def seconds_to_fail(reason: str | None, stopping: bool = False) -> float:
    begun = time.monotonic()
    with pytest.raises(Stopped if stopping else SwapFailed, match=reason):
        swap(Target(Path("bundle"), "2"), Settings(), {}, lambda: stopping)
    return time.monotonic() - begun


def test_one_that_hangs_is_ended_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    loading(monkeypatch, lambda: time.sleep(HANGS))
    assert seconds_to_fail("expected it to load the model. Received: nothing for 0.5 seconds") < HANGS / 2


def test_one_that_hangs_is_ended_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    loading(monkeypatch, lambda: time.sleep(HANGS))
    assert seconds_to_fail(None, stopping=True) < HANGS / 2


def test_one_that_closes_its_line_and_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "LOAD_SECONDS", HANGS)

    def load() -> None:
        os.closerange(3, 1024)
        time.sleep(HANGS)

    loading(monkeypatch, load)
    assert seconds_to_fail("the end of the process that tried, with status -9") < HANGS / 2


def test_the_status_of_one_that_crashes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "LOAD_SECONDS", HANGS)
    loading(monkeypatch, lambda: os._exit(7))
    for _ in range(20):  # the kill that follows comes too late to change it
        seconds_to_fail("the end of the process that tried, with status 7")


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "LOAD_SECONDS", HANGS)

    def load() -> None:
        raise ValueError("no such operator")

    loading(monkeypatch, load)
    seconds_to_fail("ValueError: no such operator")


def test_one_that_answers_is_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "LOAD_SECONDS", HANGS)
    loading(monkeypatch, lambda: None)
    swap(Target(Path("bundle"), "2"), Settings(), {}, lambda: False)


def test_what_failed_by_chance_is_tried_again_at_once_and_then_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(swapping.time, "monotonic", lambda: now[0])
    old, new = Target(Path("old")), Target(Path("new"))
    follower = swapping.Follower(lambda: new, old)
    follower.failed(new, by_chance=True)
    assert follower.wanted() == new and follower.refused
    follower.failed(new, by_chance=True)
    assert follower.wanted() is None
    now[0] += 2 * swapping.RETRY_SECONDS
    assert follower.wanted() == new
    other = swapping.Follower(lambda: new, old)
    other.failed(new)
    assert other.wanted() is None
    now[0] += swapping.RETRY_SECONDS
    assert other.wanted() == new


def test_a_worker_that_has_ended_is_told_from_a_model_that_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    with ours, pytest.raises(swapping.WorkerEnded, match="worker 7: expected it to load the model. Received: its end"):
        swapping._ask({7: ours}, {"do": "prepare"}, lambda: False)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def answers() -> None:
        number = json.loads(theirs.recv(1000))["number"]
        theirs.sendall(json.dumps({"number": number, "error": "it is damaged"}).encode())

    thread = threading.Thread(target=answers)
    thread.start()
    with ours, theirs, pytest.raises(swapping.SwapFailed, match="it is damaged") as found:
        swapping._ask({7: ours}, {"do": "prepare"}, lambda: False)
    thread.join()
    assert not isinstance(found.value, swapping.WorkerEnded)
