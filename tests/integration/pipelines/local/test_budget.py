"""Tasks run within the machine's cores and memory, by what their components ask for."""

import functools

import pytest
from kfp import dsl

from headrace.pipelines.local.workers import resources
from headrace.pipelines.local.workers.resources import Amount

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)
GIB = 1 << 30


@component
def work(meet: str = "", others: int = 0) -> list:
    """With a folder to `meet` in, it is at work until so many have come there, which takes as long as it takes."""
    import os
    import time
    from pathlib import Path

    begun = time.monotonic()
    if meet:
        Path(meet, f"{os.getpid()}-{begun}").touch()
        while len(list(Path(meet).iterdir())) < others:
            if time.monotonic() > begun + 120:
                raise TimeoutError(f"expected {others} tasks at once. Received: {list(Path(meet).iterdir())}")
            time.sleep(0.01)
    time.sleep(0.1)
    threads = [int(os.environ.get(name, 0)) for name in ("HEADRACE_THREADS", "OMP_NUM_THREADS", "HEADRACE_CORES")]
    return [begun, time.monotonic(), *threads]


def overlapping(spans):
    """For each moment at which a task begins: the names of all that run then."""
    return [
        {name for name, (begun, end, *_) in spans.items() if begun <= moment < end} for moment, *_ in spans.values()
    ]


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(resources, "machine", lambda: Amount(4000, 8 * GIB))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def spans_of(result):
    assert result.succeeded, result.failed()[0].error
    return {path: task.outputs["Output"] for path, task in result.tasks.items()}


def test_within_the_budget(runner, machine, tmp_path):
    meet = tmp_path / "meet"
    meet.mkdir()

    def busy(meet: str, half: str = "500m", much: str = "6Gi"):
        work(meet=meet, others=3).set_cpu_request("3").set_cpu_limit("4")  # work
        work().set_cpu_limit("2000m")  # work-2: beside it there is no room for this one
        work(meet=meet, others=3).set_cpu_request(half)  # work-3: but for this one
        work(meet=meet, others=3).set_cpu_request(half).set_memory_limit(much)  # work-4: and this
        work().set_memory_request("4G").set_cpu_request("100m")  # work-5: 4 GB and 6 GiB are too much
        work().set_cpu_request("64").set_memory_request("1Gi")  # work-6: alone
        work()

    result = runner.run(busy, parameters={"meet": str(meet)}, max_parallel=8)
    spans = spans_of(result)
    cpu = {"work": 3000, "work-2": 2000, "work-3": 500, "work-4": 500, "work-5": 100, "work-6": 4000, "work-7": 500}
    memory = {"work-4": 6 * GIB, "work-5": 4 * 10**9, "work-6": 8 * GIB}
    together = overlapping(spans)
    for running in together:
        assert sum(cpu[name] for name in running) <= 4000
        assert sum(memory.get(name, 0) for name in running) <= 8 * GIB
    assert {"work", "work-3", "work-4"} in together
    assert {"work-6"} in together
    assert all(running == {"work-6"} for running in together if "work-6" in running)
    notices = [e.message for e in runner.events if e.kind == "notice"]
    assert notices == ["work-6: asks for 64 cores of 4, and will run alone"]
    assert spans["work"][2:] == [3, 3, 3]  # threads follow the request
    assert spans["work-3"][2:] == [1, 1, 1]
    assert spans["work-6"][2:] == [4, 4, 4]


def test_without_requests_the_number_alone_counts(runner, machine, tmp_path):
    def plain(meet: str, others: int):
        for _ in range(6):
            work(meet=meet, others=others)

    ir, spans = runner.compile(plain), {}
    for n in (2, 6):
        meet = tmp_path / str(n)
        meet.mkdir()
        spans[n] = spans_of(runner.run(ir, parameters={"meet": str(meet), "others": n}, max_parallel=n))
    assert {n: max(map(len, overlapping(found))) for n, found in spans.items()} == {2: 2, 6: 6}
    told = [(threads, cores) for _, _, threads, _, cores in spans[6].values()]
    assert min(threads for threads, _ in told) < 4 and {cores for _, cores in told} == {4}


def test_a_request_that_says_nothing(runner, machine):
    def unclear(cpu: str):
        work().set_cpu_request(cpu)

    ir = runner.compile(unclear)
    result = runner.run(ir, parameters={"cpu": "plenty"})
    assert result.state == "FAILED"
    assert (
        "expected a quantity for cpuRequest, such as 500m, 1.5 or 2Gi. Received: 'plenty'"
        in result.failed()[0].error.message
    )
    result = runner.run(ir, parameters={"cpu": "9"})
    assert result.succeeded
    assert [e.message for e in runner.events if e.kind == "notice"] == [
        "work: asks for 9 cores of 4, and will run alone"
    ]
