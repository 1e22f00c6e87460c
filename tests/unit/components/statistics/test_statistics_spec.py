"""The `statistics` section, and the runner that a run may ask for instead."""

import pytest
from pydantic import ValidationError

from headrace.artifacts.errors import HeadraceError
from headrace.components.statistics.spec import BeamSpec, StatisticsSpec, with_runner


def test_by_default_in_process_without_weights_and_slices():
    assert StatisticsSpec().model_dump(exclude_none=True) == {"slices": [], "slice_values": 20}


def test_a_runner_may_stand_alone():
    assert StatisticsSpec(beam="FlinkRunner").beam == BeamSpec(runner="FlinkRunner")


@pytest.mark.parametrize(
    "settings", [{"beam": "SparkleRunner"}, {"slice_values": 0}, {"weight": ""}, {"slices": ["a", "b", "a"]}]
)
def test_what_does_not_fit_is_refused(settings):
    with pytest.raises(ValidationError):
        StatisticsSpec(**settings)


def test_a_run_may_ask_for_another_runner_and_keeps_the_options():
    options = {"project": "acme", "autoscaling_algorithm": "NONE"}
    settings = StatisticsSpec(slices=["plan"], beam=BeamSpec(options=options))
    assert with_runner(settings, "") == settings
    assert with_runner(settings, "none") == StatisticsSpec(slices=["plan"])
    asked = with_runner(settings, "DataflowRunner")
    assert asked.beam == BeamSpec(runner="DataflowRunner", options=options)
    assert asked.slices == ["plan"]
    assert with_runner(StatisticsSpec(), "DirectRunner").beam == BeamSpec()


def test_an_unknown_runner_is_refused():
    with pytest.raises(HeadraceError, match=r"Received: Dataflow; did you mean DataflowRunner\?"):
        with_runner(StatisticsSpec(), "Dataflow")
