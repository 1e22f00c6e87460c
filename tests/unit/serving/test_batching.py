"""Requests of a slow model are scored together, and each gets its own rows."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.serving import served as loaded
from headrace.serving.app import App
from headrace.serving.batching import Batcher, seconds_a_call
from headrace.serving.exchange import Request, Response
from headrace.serving.router import Router
from headrace.serving.scorer import Inputs
from headrace.serving.served import Served
from headrace.serving.settings import Settings


class Model:
    """Doubles numbers; the first call waits until it is let go. A NaN is an error, -1 an error of those beside it."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.go = threading.Event()
        self.begun = threading.Event()

    def __call__(self, inputs: Inputs) -> Any:
        self.calls.append(len(inputs.matrix))
        self.begun.set()
        assert self.go.wait(10)
        if np.isnan(inputs.matrix).any():
            raise RuntimeError("a NaN")
        return (inputs.matrix[:, :1] * 2).astype(np.float32)


def rows(*values: float) -> Inputs:
    return Inputs(np.array(values, np.float64).reshape(-1, 1), None, 0)


def waiting(model: Model, batcher: Batcher, first: Inputs, *others: Inputs, leave: int | None = None) -> list[Any]:
    """What becomes of requests that come while the first is scored; one of them leaves."""

    async def ask() -> list[Any]:
        tasks = [asyncio.ensure_future(batcher.run(first))]
        while not model.begun.is_set():
            await asyncio.sleep(0.001)
        tasks += [asyncio.ensure_future(batcher.run(inputs)) for inputs in others]
        await asyncio.sleep(0)
        assert batcher.waiting == len(others)
        if leave is not None:
            tasks[leave].cancel()
        model.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    try:
        return asyncio.run(ask())
    finally:
        batcher.close()


def test_what_waits_goes_together_as_far_as_it_fits() -> None:
    model = Model()
    batcher = Batcher(model, 1, 4)
    sizes: list[tuple[int, int]] = []
    batcher.seen = lambda requests, count: sizes.append((requests, count))
    found = waiting(model, batcher, rows(1), rows(2, 3), rows(4), rows(5), rows(6, 7, 8, 9, 10), rows(11))
    assert [one.ravel().tolist() for one in found] == [[2], [4, 6], [8], [10], [12, 14, 16, 18, 20], [22]]
    assert model.calls == [1, 4, 5, 1]
    assert sizes == [(1, 1), (3, 4), (1, 5), (1, 1)]


def test_an_error_is_that_request_s_alone() -> None:
    model = Model()
    found = waiting(model, Batcher(model, 1, 64), rows(1), rows(2), rows(float("nan")), rows(3))
    assert [one.ravel().tolist() for one in found[:2]] == [[2], [4]] and found[3].ravel().tolist() == [6]
    assert isinstance(found[2], RuntimeError)
    assert model.calls == [1, 3, 1, 1, 1]


def test_who_left_is_not_scored() -> None:
    model = Model()
    found = waiting(model, Batcher(model, 1, 64), rows(1), rows(2), rows(3), leave=1)
    assert isinstance(found[1], asyncio.CancelledError) and found[2].ravel().tolist() == [6]
    assert model.calls == [1, 1]


def test_several_threads_work_at_a_time() -> None:
    model, both = Model(), threading.Barrier(2)

    def run(inputs: Inputs) -> Any:
        both.wait(10)
        return inputs.matrix

    async def ask() -> None:
        batcher = Batcher(run, 2, 64)
        await asyncio.gather(batcher.run(rows(1)), batcher.run(rows(2)))
        batcher.close()

    asyncio.run(ask())
    assert model.calls == []


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_only_slow_models_are_called_in_threads_and_answer_the_same(
    kind: str, bundles: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, settings = Bundle.open(bundles[kind]), Settings()
    fast = App(Router(Served(bundle, settings)), settings)
    assert fast.router.main.batcher is None
    monkeypatch.setattr(loaded, "SLOW_SECONDS", 0.0)
    slow = App(Router(Served(bundle, settings)), settings)
    assert slow.router.main.batcher is not None
    assert Served(bundle, Settings(max_batch=1)).batcher is None
    bodies = [b'{"instances":[%b]}' % one for one in _instances(bundle)]
    wanted = [fast.answer(Request("POST", "/predict", body)) for body in bodies]

    async def ask() -> list[Response]:
        pending = [slow.answer(Request("POST", "/predict", body)) for body in bodies]
        return await asyncio.gather(*pending)  # type: ignore[arg-type]

    for one, other in zip(wanted, asyncio.run(ask()), strict=True):
        assert isinstance(one, Response) and one.status == other.status == 200
        assert one.body == other.body


def _instances(bundle: Bundle) -> list[bytes]:
    import msgspec

    return [msgspec.json.encode(one) for one in bundle.samples()[0]]


def test_a_call_is_timed_by_the_fastest() -> None:
    count = iter(range(100))

    def run(inputs: Inputs) -> Any:
        if next(count) == 0:
            threading.Event().wait(0.01)

    assert seconds_a_call(run, rows(1)) < 0.01
