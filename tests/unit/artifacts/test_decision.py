"""Decisions, reports on serving, absence: read back as written, refused when damaged or newer."""

from __future__ import annotations

import pytest

from headrace.artifacts.absent import is_absent, write_absent
from headrace.artifacts.decision import UNRECORDED, Decision, Verdict, read_verdict, write_verdict
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import write_folder, write_json
from headrace.artifacts.infra import Check, Infra, read_infra, write_infra

GOOD = Decision("auc at least 0.7", True, "auc is 0.8", {"auc": 0.8})
BAD = Decision("auc at least 0.9", False, "auc is 0.8")


def test_verdict_round_trip(tmp_path):
    for index, verdict in enumerate((Verdict("sha256:m", (GOOD,)), Verdict("sha256:m", (GOOD, BAD), "sha256:c"))):
        write_verdict(tmp_path / str(index), verdict)
        assert read_verdict(tmp_path / str(index)) == verdict


def test_verdict_passes_only_on_evidence():
    assert Verdict("m", (GOOD,)).passed
    assert not Verdict("m", (GOOD, BAD)).passed
    assert not Verdict("m", ()).passed
    assert not Verdict("m", (Decision("x", "yes", ""),)).passed  # type: ignore[arg-type]


def test_a_verdict_of_version_1_says_that_the_champion_was_not_recorded(tmp_path):
    content = {"passed": True, "model_digest": "m", "decisions": [GOOD.__dict__]}
    with write_folder(tmp_path / "old", "headrace/decision", 1, {}) as folder:
        write_json(folder / "decision.json", content)
    found = read_verdict(tmp_path / "old")
    assert found.passed and found.champion_digest == UNRECORDED
    for name, more in (("without", {}), ("strange", {"champion_digest": 1})):
        with write_folder(tmp_path / name, "headrace/decision", 2, {}) as folder:
            write_json(folder / "decision.json", content | more)
        with pytest.raises(ArtifactError, match="expected a decision"):
            read_verdict(tmp_path / name)


def test_infra_round_trip_and_evidence(tmp_path):
    infra = Infra("sha256:m", (Check("loads", True, "in 0.1 s"),), {"p50": 0.1, "p99": 0.2})
    write_infra(tmp_path / "i", infra)
    assert read_infra(tmp_path / "i") == infra
    assert infra.passed
    assert not Infra("m", ()).passed
    assert not Infra("m", (Check("a", True, ""), Check("b", False, ""))).passed


@pytest.mark.parametrize(
    ("kind", "newest", "read", "file", "content"),
    [
        ("decision", 3, read_verdict, "decision.json", {"passed": True, "model_digest": "m", "decisions": []}),
        (
            "infra",
            2,
            read_infra,
            "infra.json",
            {"passed": True, "model_digest": "m", "checks": [], "latency_ms": {}},
        ),
    ],
)
def test_a_claim_that_does_not_follow_is_refused(tmp_path, kind, newest, read, file, content):
    with write_folder(tmp_path / "x", f"headrace/{kind}", 1, {}) as folder:
        write_json(folder / file, content)
    with pytest.raises(ArtifactError, match="expected passed to follow"):
        read(tmp_path / "x")
    with write_folder(tmp_path / "damaged", f"headrace/{kind}", 1, {}) as folder:
        write_json(folder / file, {"passed": True})
    with pytest.raises(ArtifactError, match="expected a"):
        read(tmp_path / "damaged")
    with write_folder(tmp_path / "newer", f"headrace/{kind}", newest + 1, {}) as folder:
        write_json(folder / file, content)
    with pytest.raises(ArtifactError, match=f"format version {newest} or older"):
        read(tmp_path / "newer")


def test_absence_is_stated(tmp_path):
    write_absent(tmp_path / "a", "no champion")
    assert is_absent(tmp_path / "a")
    write_verdict(tmp_path / "v", Verdict("m", (GOOD,)))
    assert not is_absent(tmp_path / "v")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="no such file"):
        is_absent(tmp_path / "empty")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("no champion", "gone"))
    with pytest.raises(ArtifactError, match="expected the digest to cover the manifest"):
        is_absent(tmp_path / "a")
