"""Requests that came in one turn of the event loop are answered by one call, each as if it had come alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.serving.app import App
from headrace.serving.batching import outputs_of
from headrace.serving.exchange import Request, Response, Soon
from headrace.serving.scorer import Inputs
from headrace.serving.together import FEW_ROWS, MOST_ROWS
from tests.unit.serving.surfaces import surface


def calls_of(app: App) -> list[int]:
    """How many rows each call of the model has, from now on."""
    calls: list[int] = []
    scorer: Any = app.router.main.scorer
    run = scorer.run

    def counted(inputs: Inputs) -> Any:
        calls.append(len(inputs.matrix))
        return run(inputs)

    scorer.run = counted
    return calls


def asked(instances: list[dict[str, Any]], count: int = 1) -> list[Request]:
    """Requests of `count` instances each."""
    parts = [instances[place : place + count] for place in range(0, len(instances), count)]
    return [Request("POST", "/predict", msgspec.json.encode({"instances": part})) for part in parts]


def in_one_turn(app: App, requests: list[Request]) -> list[Response]:
    async def ask() -> list[Response]:
        found = [app.answer(request) for request in requests]
        return [one if isinstance(one, Response) else await one for one in found]

    return asyncio.run(ask())


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("count", [1, 3])
def test_each_is_answered_as_if_it_had_come_alone(kind: str, count: int, bundles: dict[str, Any]) -> None:
    bundle = Bundle.open(bundles[kind])
    app = surface(bundle)
    instances = bundle.samples()[0][:9]
    alone = [app.answer(request) for request in asked(instances, count)]
    calls = calls_of(app)
    together = in_one_turn(app, asked(instances, count))
    assert calls == [9]
    assert [one.body for one in together] == [one.body for one in alone]  # type: ignore[union-attr]
    assert all(one.status == 200 and dict(one.headers)[b"x-request-id"] for one in together)


def test_a_call_has_a_bounded_number_of_rows(binary: Bundle) -> None:
    app = surface(binary)
    calls = calls_of(app)
    instances = (binary.samples()[0] * MOST_ROWS)[: MOST_ROWS + 5]
    assert len(in_one_turn(app, asked(instances))) == MOST_ROWS + 5
    assert calls == [MOST_ROWS, 5]


def test_a_request_of_many_rows_is_answered_at_once(binary: Bundle) -> None:
    app = surface(binary)
    (request,) = asked((binary.samples()[0] * (FEW_ROWS + 1))[: FEW_ROWS + 1], FEW_ROWS + 1)

    async def ask() -> object:
        return app.answer(request)

    assert isinstance(asyncio.run(ask()), Response)


def test_wrong_requests_and_what_fails_in_the_model_are_errors_of_their_own(binary: Bundle) -> None:
    app = surface(binary)
    scorer: Any = app.router.main.scorer
    run = scorer.run

    def fails_on_a_marked_row(inputs: Inputs) -> Any:
        if (inputs.matrix == 77.0).any():
            raise RuntimeError("the model is broken")
        return run(inputs)

    scorer.run = fails_on_a_marked_row
    instances = binary.samples()[0][:3]
    marked = {**instances[0], "tenure": 77}
    requests = asked([instances[0], marked, instances[1]])
    requests.insert(1, Request("POST", "/predict", b'{"instances":[{}]}'))
    statuses = [one.status for one in in_one_turn(app, requests)]
    assert statuses == [200, 400, 500, 200]
    page = app.metrics.text().decode()
    assert 'status="500"} 1' in page and 'status="400"} 1' in page


def test_a_retired_application_has_answered_what_it_took(binary: Bundle) -> None:
    app = surface(binary)

    async def ask() -> Response:
        pending = app.answer(asked(binary.samples()[0])[0])
        assert isinstance(pending, Soon) and pending.response is None
        app.retire()
        assert pending.response is not None
        return await pending

    assert "predictions" in json.loads(asyncio.run(ask()).body)


def test_nobody_waits_for_an_answer_that_is_there() -> None:
    soon, answer = Soon(), Response(200, b"")
    soon.settle(answer)

    async def wait() -> Response:
        return await soon

    assert asyncio.run(wait()) is answer


def test_who_left_before_the_answer_does_no_harm(binary: Bundle) -> None:
    app = surface(binary)

    async def ask() -> Response:
        first, second = (app.answer(request) for request in asked(binary.samples()[0][:2]))
        assert isinstance(first, Soon) and isinstance(second, Soon)
        waiting = asyncio.ensure_future(_await(first))
        await asyncio.sleep(0)
        waiting.cancel()
        return await second

    assert asyncio.run(ask()).status == 200


async def _await(soon: Soon) -> Response:
    return await soon


def test_outputs_of_several_rows_are_not_mixed_up(binary: Bundle) -> None:
    app = surface(binary)
    rng = np.random.default_rng(3)
    instances = [{**binary.samples()[0][0], "tenure": float(value)} for value in rng.normal(10, 30, 20)]
    answers = in_one_turn(app, asked(instances, 2))
    alone = [app.answer(request) for request in asked(instances, 2)]
    assert [one.body for one in answers] == [one.body for one in alone]  # type: ignore[union-attr]


@pytest.mark.parametrize("sizes", [(0, 2), (2, 0), (0, 1, 2), (3, 0, 0), (1, 1, 1), (0, 0)])
def test_as_many_rows_as_requests_are_not_one_row_each(sizes: tuple[int, ...]) -> None:
    """A request may have no rows."""
    values = iter(range(100))
    batch = [Inputs(np.array([[float(next(values))] for _ in range(size)]).reshape(size, 1), None, 0) for size in sizes]
    found = outputs_of(lambda inputs: inputs.matrix * 10, batch)
    assert [outputs.tolist() for outputs in found] == [(inputs.matrix * 10).tolist() for inputs in batch]  # type: ignore[union-attr]


def test_an_answer_that_cannot_be_sent_keeps_no_other(binary: Bundle) -> None:
    app, told = surface(binary), []
    requests = asked(binary.samples()[0][:3])

    async def ask() -> list[Response]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
        found = [app.answer(request) for request in requests]
        assert all(isinstance(one, Soon) for one in found)
        found[0].then(lambda response: {}["gone"])  # type: ignore[union-attr]
        return [await one for one in found[1:]]  # type: ignore[misc]

    assert [one.status for one in asyncio.run(asyncio.wait_for(ask(), 5))] == [200, 200]
    assert told == ["expected an answer to be sent. Received: 'gone'"]
