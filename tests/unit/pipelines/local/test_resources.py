"""What the machine has and what a task asks for: quantities, claims, cgroups."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp.compiler.compiler_utils import _cpu_to_float, _memory_to_float

from headrace.pipelines.local.workers import resources
from headrace.pipelines.local.workers.resources import (
    Amount,
    Request,
    ResourceError,
    claim,
    look_at_machine,
    quantity,
    request,
)

GIB = 1 << 30

# --- quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500m", "0.5"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("2", "2"),
        ("2Gi", 2 * GIB),
        ("1500M", 1_500_000_000),
        ("1k", 1000),
        ("1K", 1000),
        ("1Ki", 1024),
        ("0.5Ti", GIB * 512),
        ("3E", 3 * 10**18),
        ("1e3", 1000),
        ("129e6", 129_000_000),
        (" 1 ", 1),
    ],
)
def test_quantities(text, expected):
    assert quantity(text, "x") == Decimal(expected)


@pytest.mark.parametrize(
    "text", ["", "many", "-1", "1.5.2", "1 Gi", "Gi", "1gi", "1mi", "nan", "inf", "1e999", "0x10", "१"]
)
def test_what_is_no_quantity(text):
    with pytest.raises(ResourceError, match=r"^expected a quantity for cpuLimit, such as 500m.* Received: "):
        quantity(text, "cpuLimit")


@given(
    st.integers(0, 10**9),
    st.sampled_from(["", "m", "k", "K", "Ki", "M", "Mi", "G", "Gi", "T", "Ti", "P", "Pi", "E", "Ei"]),
)
def test_a_quantity_is_its_number_times_its_unit(number, suffix):
    base = 1024 if suffix.endswith("i") else 1000
    power = {"m": -1, "": 0}.get(suffix) if suffix in ("m", "") else "_KMGTPE".index(suffix[0].upper())
    assert quantity(f"{number}{suffix}", "x") == number * Decimal(base) ** power


@given(st.integers(1, 10**6), st.sampled_from(["", "Ki", "Mi", "Gi", "K", "M", "G"]))
def test_the_older_fields_say_the_same(number, suffix):
    new = request({"resourceMemoryLimit": f"{number}{suffix}", "resourceCpuLimit": f"{number}m"}, {}, {})
    old = request(
        {"memoryLimit": _memory_to_float(f"{number}{suffix}"), "cpuLimit": _cpu_to_float(f"{number}m")}, {}, {}
    )
    assert new.cpu == old.cpu == number
    assert new.memory == pytest.approx(old.memory, rel=1e-6, abs=1)


# --- requests

INPUT = {"inputs": {"parameterValues": {"c": "250m", "n": 2, "none": None, "bad": "lots"}}}


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({}, Request()),
        ({"cpuRequest": 0.5, "cpuLimit": 2.0}, Request(500)),
        ({"cpuLimit": 2.0, "memoryLimit": 1.5}, Request(2000, 1_500_000_000)),
        ({"resourceCpuRequest": "1", "cpuRequest": 3.0}, Request(1000)),
        ({"resourceCpuRequest": "0.0001"}, Request(1)),
        ({"resourceCpuRequest": "0"}, Request(0)),
        ({"cpuRequest": 0.0, "cpuLimit": 1.0}, Request(1000)),
        ({"resourceCpuRequest": "{{$.inputs.parameters['c']}}", "resourceMemoryLimit": "{{$.inputs.parameters['n']}}Gi"}, Request(250, 2 * GIB)),
        ({"resourceCpuRequest": "{{$.inputs.parameters['n']}}"}, Request(2000)),
        ({"resourceCpuRequest": "{{$.inputs.parameters['none']}}", "resourceCpuLimit": "3"}, Request(3000)),
        ({"resourceMemoryRequest": "2Gi", "resourceMemoryLimit": "4Gi"}, Request(None, 2 * GIB)),
        ({"accelerator": {"count": "1", "type": "T4"}}, Request()),
    ],
)  # fmt: skip
def test_requests(given_, expected):
    assert request(given_, INPUT, {}) == expected


def test_a_request_that_is_no_quantity_names_its_field():
    with pytest.raises(ResourceError, match="a quantity for memoryRequest.*Received: 'lots'"):
        request({"resourceMemoryRequest": "{{$.inputs.parameters['bad']}}"}, INPUT, {})


# --- claims


def test_claims():
    four = Amount(4000, 8 * GIB)
    assert claim(Request(), four, 4) == Amount(1000, 0)
    assert claim(Request(), four, 1) == Amount(1000, 0)
    assert claim(Request(), four, 8) == Amount(500, 0)  # the user wants more tasks at a time than there are cores
    assert claim(Request(2500, GIB), four, 8) == Amount(2500, GIB)
    assert claim(Request(0), four, 4) == Amount(1, 0)
    assert claim(Request(5000), four, 4) == four
    assert claim(Request(None, 9 * GIB), four, 4) == four


@given(st.integers(1, 64_000), st.integers(1, 500))
def test_as_many_unclaimed_tasks_fit_as_the_user_allows_or_as_there_are_cores(cpu, slots):
    each = claim(Request(), Amount(cpu, 0), slots)
    wanted = max(min(slots, cpu), 1)
    assert each.cpu * min(wanted, slots) <= cpu
    assert cpu // each.cpu >= min(slots, max(1, cpu // resources.CORE), wanted)


# --- the machine


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


MEMINFO = "MemTotal:       16000000 kB\nMemFree: 1 kB\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {}, Amount(8000, 16_384_000_000)),
        ("0::/\n", {"cpu.max": "150000 100000\n", "memory.max": "1073741824\n"}, Amount(1500, GIB)),
        ("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}, Amount(8000, 16_384_000_000)),
        ("0::/\n", {"cpu.max": "9000000 100000\n"}, Amount(8000, 16_384_000_000)),
        # The strictest of the groups around it counts; the path may be the host's.
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000", "a/b/memory.max": "5000"}, Amount(2000, 5000)),
        ("0::/kubepods/pod1\n", {"memory.max": "7000"}, Amount(8000, 7000)),
        # Version 1, each controller by itself or several together.
        (
            "4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n",
            {"memory/box/memory.limit_in_bytes": "2000", "memory/memory.limit_in_bytes": "9223372036854771712",
             "cpu,cpuacct/box/cpu.cfs_quota_us": "50000", "cpu,cpuacct/box/cpu.cfs_period_us": "100000"},
            Amount(500, 2000),
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, Amount(8000, 16_384_000_000)),
    ],
)  # fmt: skip
def test_limits_of_cgroups(tmp_path, cgroup, files, expected):
    proc = lay(tmp_path / "proc", {"self/cgroup": cgroup, "meminfo": MEMINFO})
    assert look_at_machine(proc, lay(tmp_path / "cgroup", files), 8) == expected


def test_this_machine():
    machine = resources.machine()
    assert 1 <= resources.cores() <= len(os.sched_getaffinity(0))
    assert machine.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 1.1
    assert resources.cores() == max(1, machine.cpu // 1000)


def test_where_the_kernel_counts_its_kills(tmp_path):
    proc = lay(tmp_path / "proc", {"self/cgroup": "4:memory:/box\n0::/me\n", "vmstat": "nr_free_pages 1\noom_kill 7\n"})
    group = tmp_path / "cgroup"
    assert resources.kills(resources.kill_counter(proc, group)) == 7
    lay(group, {"memory/box/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"})
    assert resources.kills(resources.kill_counter(proc, group)) == 3
    lay(proc, {"self/cgroup": "0::/me\n"})
    lay(group, {"me/memory.events": "low 0\noom 9\noom_kill 2\noom_group_kill 5\n"})
    assert resources.kills(resources.kill_counter(proc, group)) == 2
    assert resources.kills(resources.kill_counter(tmp_path, tmp_path)) == 0
    assert resources.kill_counter() is not None  # of this machine


def test_what_is_said_of_too_large_a_request():
    budget = Amount(2000, 4 * GIB)
    assert resources.excess("comp-train", Request(2000, 4 * GIB), budget) is None
    assert resources.excess("comp-train", Request(), budget) is None
    text = resources.excess("comp-train", Request(2500, 8 * GIB), budget)
    assert text == "train: asks for 2.5 cores of 2 and 8.0 GiB of memory of 4.0 GiB, and will run alone"
