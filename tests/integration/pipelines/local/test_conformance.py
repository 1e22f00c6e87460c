"""Every feature of KFP's compiler gives what an independent rule says; kfp.local the same, where it can do it."""

import builtins
import os
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from kfp import dsl, local

from tests.integration.pipelines.local.conformance import Case, cases
from tests.integration.pipelines.local.conformance_components import give, show, show_optional, text

FALSY = {"i": 0, "f": 0.0, "s": "", "b": False, "l": [], "d": {}}
ODD = {
    "i": 1 - 2**53,
    "f": 1e-300,
    "s": "'\"\\\n\t{{$.inputs.parameters['s']}} {{$.Values.x}} \u00e9\u6f22 ",
    "b": True,
    "l": [0, "", False, [], {}, -0.5, "null"],
    "d": {"": 0, "a.b": [{"c": ""}], "{{x}}": False},
}
NONE = dict.fromkeys(FALSY)
LOOPED = {name: [ODD[name], FALSY[name]] for name in FALSY} | {"d": [{"k": 0}, {}]}
DEFAULTS = {"i": 7, "f": 0.5, "s": "word", "b": True, "l": [1], "d": {"k": 1}}


def told(values):
    return repr(tuple(values.values()))


def outcome(result):
    return [(task.path, task.error.message) for task in result.failed()], result.outputs


def side_by_side(some: list[Case]):
    """A pipeline in which every case is a pipeline, and what it must put out."""
    expected, types = {}, {}
    for number, case in enumerate(some):
        for key, value in case.expected.items():
            expected[f"case{number}_{key}"] = value
            kind = case.pipeline.pipeline_spec.root.output_definitions.parameters[key].parameter_type
            types[f"case{number}_{key}"] = {2: int, 3: str, 5: list, 6: dict}[kind]
    put_out = namedtuple("Out", types)
    put_out.__annotations__ = types

    def everything():
        tasks = [case.pipeline(**case.parameters) for case in some]
        return put_out(**{key: tasks[int(key[4:].split("_")[0])].outputs[key.split("_", 1)[1]] for key in expected})

    everything.__annotations__["return"] = put_out
    return everything, expected


def test_all_features_side_by_side_in_one_pipeline(runner):
    first_of_each = list({case.pipeline.name: case for case in reversed(cases)}.values())
    pipeline, expected = side_by_side(first_of_each)
    assert outcome(runner.run(pipeline)) == ([], expected)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases, ids=lambda case: case.name)
def test_every_feature_by_itself(runner, case):
    assert outcome(runner.run(case.pipeline, parameters=case.parameters)) == ([], case.expected)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in cases if case.kfp], ids=lambda case: case.name)
def test_kfp_local_puts_out_the_same(tmp_path, monkeypatch, case):
    monkeypatch.setenv("PATH", f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(builtins, "print", print)  # with tasks in threads, kfp.local leaves its own in place
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path), raise_on_error=True)
    try:
        assert case.pipeline(**case.parameters).outputs == case.expected
    finally:
        local.config.LocalExecutionConfig.instance = None


def test_every_kind_of_value_by_every_way(runner):
    """Constants, defaults, what is given, what a task puts out, and what comes through a group or a pipeline."""

    @dsl.pipeline
    def inner(i: int = 0, f: float = 0.0, s: str = "", b: bool = False, l: list = [], d: dict = {}):  # noqa: B006, E741
        show(i=i, f=f, s=s, b=b, l=l, d=d)

    def ways(i: int = 0, f: float = 0.0, s: str = "", b: bool = False, l: list = [], d: dict = {}):  # noqa: B006, E741
        show()
        show_optional()
        show(**FALSY)
        show(**(ODD | {"s": "{{$.Values.x}}{{ y }}"}))  # a text like ODD's would name an input here, as on KFP
        show_optional(**FALSY)
        out = give(i=i, f=f, s=s, b=b, l=l, d=d).outputs
        show(**out)
        inner()
        inner(i=i, f=f, s=s, b=b, l=l, d=d)
        with dsl.If(out["i"] == i):
            inner(**out)
        for name, values in LOOPED.items():
            with dsl.ParallelFor(values) as item:
                show(**{name: item})

    ir = runner.compile(ways)
    for given in ({}, ODD):
        passed = told(FALSY | given)
        result = runner.run(ir, parameters=given)
        assert outcome(result) == ([], {})
        assert {path: task.outputs["Output"] for path, task in result.tasks.items() if "Output" in task.outputs} == {
            "show": told(DEFAULTS),
            "show-optional": told(NONE),
            "show-2": told(FALSY),
            "show-3": told(ODD | {"s": "{{$.Values.x}}{{ y }}"}),
            "show-optional-2": told(FALSY),
            "show-4": passed,
            "inner/show": told(FALSY),
            "inner-2/show": passed,
            "condition-1/inner-3/show": passed,
            **{
                f"for-loop-{2 * n + 3}[{k}]/show-{n + 5}": told(DEFAULTS | {name: value})
                for n, (name, values) in enumerate(LOOPED.items())
                for k, value in enumerate(values)
            },
        }


def test_what_kfp_loses_in_texts_is_filled_in_or_refused(runner):
    def fields():
        with dsl.ParallelFor([{"a": "x", "b": 0}, {"a": "", "b": 1}]) as item:  # noqa: SIM117
            with dsl.If(item.b == 0):
                text(x=f"{item.a}-{item.b}")

    result = runner.run(fields)
    assert result.tasks["for-loop-2[0]/condition-3/text"].outputs == {"Output": "x-0"}
    assert result.tasks["for-loop-2[1]/condition-3/text"].state == "SKIPPED"
    notices = [event.message for event in runner.events if event.kind == "notice"]
    assert any("filled in here, an error on KFP" in notice for notice in notices)
