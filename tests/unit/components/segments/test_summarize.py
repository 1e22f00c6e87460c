"""What became of each segment: told by evidence that belongs together, never by places in lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.artifacts.absent import is_absent
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.decision import Decision, Verdict, write_verdict
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.evaluation import Evaluation, write_evaluation
from headrace.artifacts.folder import write_folder, write_json
from headrace.artifacts.segment_results import (
    FILE,
    FORMAT,
    VERSION,
    FailedGate,
    SegmentResult,
    SegmentResults,
    read_segment_results,
    write_segment_results,
)
from headrace.components.segments.page import results_page
from headrace.components.segments.spec import ForEachSpec
from headrace.components.segments.split import split_segments
from headrace.components.segments.summarize import Evidence, summarize
from headrace.components.segments.take import take_segment
from headrace.platforms.interface import Blessing, ModelSettings
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.components.segments.snapshots import same, write_snapshot
from tests.unit.platforms.bundles import write_unscorable_bundle


class Case:
    """Four segments, `a` to `d`; each test says how far the model of each came."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.platform = folder, LocalPlatform(folder / "home")
        snapshot = write_snapshot(folder / "whole", same(["a", "b", "c", "d", None]))
        settings = ForEachSpec.model_construct(segment="region", values=["a", "b", "c", "d", "e"], least_rows=1)
        split_segments(snapshot, settings, "m", "m", folder / "parts")
        self.evidence = Evidence(folder / "parts")

    def came(self, value: str, *, judged: bool | None = None, registered: bool = False, pushed: bool = False) -> str:
        """Leaves the evidence of a segment's steps; returns the digest of its model."""
        number, place = "abcd".index(value), self.folder / value
        take_segment(self.folder / "parts", f"{number:04}", place / "dataset")
        self.evidence = replace(self.evidence, datasets=[*self.evidence.datasets, place / "dataset"])
        bundle = write_unscorable_bundle(place / "model", number)
        settings = ModelSettings(approvals=0 if pushed else 1)
        digest = f"sha256:{value}"
        if registered:
            version = self.platform.registry.register(
                bundle, f"m-{value}", metrics={}, run="r", blessing=Blessing(None), settings=settings
            )
            digest = version.digest
            if pushed:
                self.platform.endpoints.deploy(f"m-{value}", f"m-{value}", version.version)
        if judged is not None:
            self.judge(value, digest, judged)
        return digest

    def judge(self, value: str, digest: str, passed: bool) -> None:
        place = self.folder / value
        data = Dataset.open(place / "dataset").digest
        ours = Evaluation(True, "classification", "label", "test", 3, data, digest, metrics={"auc": 0.8})
        write_evaluation(place / "evaluation", ours)
        write_evaluation(place / "champion", replace(ours, model_digest="sha256:old", metrics={"auc": 0.7}))
        gates = (Decision("auc at least 0.75", passed, "auc is 0.8"), Decision("other", True, "fine"))
        write_verdict(place / "decision", Verdict(digest, gates))
        seen = self.evidence
        self.evidence = replace(
            seen,
            evaluations=[place / "evaluation", *seen.evaluations],  # in another order than the segments
            champions=[*seen.champions, place / "champion"],
            decisions=[*seen.decisions, place / "decision"],
        )

    def results(self) -> SegmentResults:
        summarize(self.evidence, self.platform, "m", self.folder / "summary", self.folder / "page.html")
        return read_segment_results(self.folder / "summary")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_each_segment_is_told_by_its_own_evidence(case: Case) -> None:
    case.came("a", judged=True, registered=True, pushed=True)
    case.came("b", judged=False)
    case.came("c")
    case.came("d", judged=True, registered=True)
    found = case.results()
    assert [(one.value, one.state) for one in found.results] == [
        ("a", "live"),
        ("b", "not passed"),
        ("c", "failed"),
        ("d", "waiting"),
        ("e", "left out"),
    ]
    a, b, c, d, e = found.results
    assert (a.version, a.metrics, a.champion, a.rows, a.good) == ("1", {"auc": 0.8}, {"auc": 0.7}, 3, True)
    assert b.failed_gates == (FailedGate("auc at least 0.75", "auc is 0.8"),)
    assert "failed" in c.why and not c.metrics
    assert d.why == "for approval: headrace models approve m-d:1" and d.good
    assert e.asked and not e.good
    assert found.counts == {"failed": 1, "not passed": 1, "waiting": 1, "live": 1, "left out": 1}
    assert (found.good, found.without_value, found.column, found.split) == (False, 3, "region", "test")


def test_a_decision_on_another_model_is_no_evidence(case: Case) -> None:
    case.came("a")
    case.judge("a", "sha256:mine", passed=True)
    write_verdict(case.folder / "other", Verdict("sha256:another", (Decision("g", True, ""),)))
    case.evidence = replace(case.evidence, decisions=[case.folder / "other"])
    assert case.results().results[0].state == "failed"


def test_an_evaluation_on_other_rows_is_no_evidence(case: Case) -> None:
    case.came("a", judged=True, registered=True, pushed=True)
    case.evidence = replace(case.evidence, datasets=[])
    assert case.results().results[0].state == "failed"


def test_passed_and_not_registered_is_a_failure(case: Case) -> None:
    case.came("a", judged=True)
    one = case.results().results[0]
    assert one.state == "failed" and "was not registered" in one.why


@pytest.mark.parametrize("approved", [False, True])
def test_what_waits_for_nobody_and_is_not_live_was_not_pushed(case: Case, approved: bool) -> None:
    case.came("a", judged=True, registered=True)
    if approved:
        case.platform.registry.approve("m-a", "1", who="Ada", reason="looks right")
    else:
        case.platform.registry.require_approvals("m-a", 0, who="Ada", reason="nobody is asked")
    one = case.results().results[0]
    assert (one.state, one.version, one.good) == ("failed", "1", False)
    assert one.why == "registered, and not pushed: the run's page and its log say why"


def test_one_approval_of_two_still_waits(case: Case) -> None:
    case.came("a", judged=True, registered=True)
    case.platform.registry.require_approvals("m-a", 2, who="Ada", reason="two are asked")
    case.platform.registry.approve("m-a", "1", who="Ada", reason="looks right")
    assert case.results().results[0].state == "waiting"


def test_live_behind_another_endpoint_is_not_where_it_should_be(case: Case) -> None:
    case.came("a", judged=True, registered=True, pushed=True)
    case.platform.endpoints.deploy("elsewhere", "m-a", "1")
    assert case.results().results[0].state == "live"
    moved = case.came("b", judged=True, registered=True)
    assert moved
    found = case.platform.registry
    found.approve("m-b", "1", who="Ada", reason="looks right")
    case.platform.endpoints.deploy("elsewhere", "m-b", "1")
    again = Case.results
    (case.folder / "summary").rename(case.folder / "before")
    one = again(case).results[1]
    assert one.state == "registered" and "not pushed to m-b" in one.why


def test_a_registry_that_does_not_answer_is_an_error(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str | None = None) -> list[object]:
        raise HeadraceError("the registry is away")

    monkeypatch.setattr(case.platform.registry, "versions", refuse)
    with pytest.raises(HeadraceError, match="the registry is away"):
        case.results()


def test_without_segments_it_is_said_that_there_are_none(tmp_path: Path) -> None:
    found = summarize(Evidence(None), LocalPlatform(tmp_path), "m", tmp_path / "summary", tmp_path / "page.html")
    assert found == {}
    assert is_absent(tmp_path / "summary")
    assert "was not parted into segments" in (tmp_path / "page.html").read_text()


def many(count: int) -> SegmentResults:
    results = tuple(
        SegmentResult(
            f"Region <{n:03}>",
            "not passed" if n == 7 else "live",
            100 + n,
            f"m-{n}",
            f"m-{n}",
            "1",
            {"auc": 0.6 + n / 2000, "log_loss": 0.5},
            {"auc": (0.5, 0.7)},
            {"auc": 0.6},
            (FailedGate("auc at least 0.9", "auc is 0.6"),) if n == 7 else (),
        )
        for n in range(count)
    )
    return SegmentResults("m", "region", "test", results)


def test_the_page_shows_what_needs_somebody_before_all_others() -> None:
    page = results_page(many(500))
    assert page.index("To look at") < page.index("How good they are") < page.index("All segments")
    assert "auc at least 0.9: auc is 0.6" in page
    assert page.count('<details id="segment-') == 500
    assert "Region <" not in page and "Region &lt;007&gt;" in page
    assert len(page) < 1_500_000


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_page_of_few(count: int) -> None:
    assert "All segments" in results_page(many(count))


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    write_segment_results(tmp_path / "r", many(9))
    assert read_segment_results(tmp_path / "r") == many(9)


@pytest.mark.parametrize(("name", "value"), [("state", "fine"), ("intervals", [1]), ("version", None)])
def test_results_that_are_none(tmp_path: Path, name: str, value: object) -> None:
    from dataclasses import asdict

    said = asdict(many(1))
    said["results"][0][name] = value
    if value is None:
        del said["results"][0]["value"]
    with write_folder(tmp_path / "r", FORMAT, VERSION, {}) as folder:
        write_json(folder / FILE, said)
    with pytest.raises(ArtifactError, match="expected results of segments"):
        read_segment_results(tmp_path / "r")
