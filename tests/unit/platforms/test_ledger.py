"""The log that a registry in a service is made of: races, damage, and pages that do not follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.platforms.interface import Blessing, ChampionChanged, ModelRegistry, ModelSettings, ModelVersion, Platform
from headrace.platforms.ledger.ledger import Ledger
from headrace.platforms.ledger.platform import LedgerPlatform
from headrace.platforms.ledger.store import Shown, Store, StoreError
from headrace.platforms.mlflow.store import MlflowStore
from headrace.platforms.open import open_platform
from headrace.platforms.vertex.store import VertexPlace, VertexStore, model_id
from tests.unit.platforms.bundles import write_unscorable_bundle
from tests.unit.platforms.memory_store import Memory


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def add(store: Memory, tmp_path: Path) -> Callable[..., ModelVersion]:
    def add(seed: int, approvals: int = 0) -> ModelVersion:
        folder = tmp_path / str(seed)
        bundle = folder if folder.exists() else write_unscorable_bundle(folder, seed)
        registry = LedgerPlatform(store).registry
        settings = ModelSettings(approvals, "homes")
        return registry.register(bundle, "homes", metrics={}, run="r", blessing=Blessing(None), settings=settings)

    return add


def changed(store: Memory, place: int, **fields: object) -> None:
    """Somebody writes over an entry."""
    number, text = store.log[place]
    store.log[place] = (number, json.dumps({**json.loads(text), **fields}))


def test_the_stores_have_the_interface(store: Memory) -> None:
    stores: list[Store] = [store, MlflowStore("http://x"), VertexStore(VertexPlace("p", "l"))]
    platform: Platform = LedgerPlatform(stores[0])  # the type checker compares the signatures
    registry: ModelRegistry = platform.registry
    assert registry.models() == []


def test_of_two_who_promote_at_once_the_second_is_told(store: Memory, add: Callable[..., ModelVersion]) -> None:
    first = add(0)
    add(1), add(2)
    LedgerPlatform(store).endpoints.deploy("homes", "homes", "1")
    other = LedgerPlatform(store).endpoints
    store.before_append = lambda: other.deploy("homes", "homes", "3", expected_champion=first.digest)
    with pytest.raises(ChampionChanged, match="Received: version 3"):
        LedgerPlatform(store).endpoints.deploy("homes", "homes", "2", expected_champion=first.digest)
    platform = LedgerPlatform(store)
    assert platform.registry.get("homes", "champion").version == "3"
    assert len(store.log) == 6 and len(platform.registry.history()) == 5  # the one that came second is void
    assert platform.registry.verify().intact


def test_of_two_who_do_what_both_may_both_are_heard(store: Memory, add: Callable[..., ModelVersion]) -> None:
    add(0, approvals=2)
    other = LedgerPlatform(store).registry
    store.before_append = lambda: other.approve("homes", "1", who="Ben", reason="fine")
    found = LedgerPlatform(store).registry.approve("homes", "1", who="Cleo", reason="fine")
    assert [item.who for item in found.approvals] == ["Ben", "Cleo"] and found.state == "approved"


def test_of_two_who_register_the_same_one_version_stays(store: Memory, add: Callable[..., ModelVersion]) -> None:
    add(0)
    store.before_append = lambda: add(1)
    assert add(1).version == "3"  # it was stored as the second, and that was taken away
    assert sorted(store.kept) == [("homes", 1), ("homes", 3)]
    assert [item.version for item in LedgerPlatform(store).registry.versions("homes")] == ["1", "3"]


def test_a_registration_that_fails_leaves_no_version(store: Memory, add: Callable[..., ModelVersion]) -> None:
    add(0)

    def fail() -> None:
        raise StoreError("no answer")

    store.before_append = fail
    with pytest.raises(StoreError):
        add(1)
    assert sorted(store.kept) == [("homes", 1)]


def test_an_entry_that_was_changed_is_found_and_nothing_is_built_on_it(
    store: Memory, add: Callable[..., ModelVersion]
) -> None:
    add(0), add(1), add(2)
    detail = json.loads(store.log[1][1])["detail"]
    changed(store, 1, detail={**detail, "who": "Mallory"})
    registry = LedgerPlatform(store).registry
    audit = registry.verify()
    assert len(audit.problems) == 1 and not audit.intact
    assert "entry 2 (" in audit.problems[0] and "Received: changed content" in audit.problems[0]
    for ask in (registry.models, lambda: registry.get("homes", "1"), lambda: add(3)):
        with pytest.raises(ArtifactError, match=r"changed content; .* `headrace models audit --verify` tells more"):
            ask()
    assert registry.verify() == audit  # and it stays so


def test_entries_that_were_taken_out_put_in_or_are_none(store: Memory, add: Callable[..., ModelVersion]) -> None:
    add(0), add(1), add(2)
    log = list(store.log)
    store.log = [log[0], log[2]]
    told = LedgerPlatform(store).registry.verify().problems
    assert any("expected to follow" in text for text in told) and any("none numbered 2" in text for text in told)
    store.log = [*log, (4, '{"time": "now"}')]
    assert "entry 4: expected an entry of the audit log" in LedgerPlatform(store).registry.verify().problems[0]
    store.log = [*log, (4, "no JSON")]
    with pytest.raises(ArtifactError, match="entry 4: expected an entry of the audit log"):
        LedgerPlatform(store).registry.models()


def test_a_log_that_was_cut_is_found_by_a_head_that_was_written_down(
    store: Memory, add: Callable[..., ModelVersion]
) -> None:
    add(0), add(1)
    head = LedgerPlatform(store).registry.verify().head
    store.log.pop()
    registry = LedgerPlatform(store).registry
    assert "homes:1: expected the aliases challenger" in registry.verify().problems[0]  # the pages tell, too
    store.pages["homes"] = {1: Shown(frozenset({"challenger"}), "blessed")}
    assert registry.verify().intact
    assert f"expected an entry with the hash {head[:12]}" in registry.verify(head).problems[0]


def test_pages_that_say_something_else_than_the_log(store: Memory, add: Callable[..., ModelVersion]) -> None:
    add(0), add(1)
    store.pages["homes"][1] = Shown(frozenset({"champion"}), "live")
    told = LedgerPlatform(store).registry.verify().problems
    assert told == (
        "homes:1: expected the aliases none, as the log says. Received: champion in memory:",
        "homes:1: expected the state blessed, as the log says. Received: live in memory:",
    )
    assert LedgerPlatform(store).registry.champion("homes") is None  # the log is what holds
    store.pages["homes"].pop(2)
    told = LedgerPlatform(store).registry.verify().problems
    assert "homes:2: expected a version in memory:, as the log says. Received: none" in told


def test_a_service_that_does_not_show_a_change_is_no_failure(
    store: Memory, add: Callable[..., ModelVersion], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(version: ModelVersion) -> None:
        raise StoreError("labels: quota")

    monkeypatch.setattr(store, "show", refuse)
    assert add(0).version == "1"
    assert "the log holds the change; its own pages may not show it yet: labels: quota" in capsys.readouterr().err


def test_actions_of_a_later_version(store: Memory) -> None:
    ledger = Ledger(store)
    with pytest.raises(ArtifactError, match="no action of this version: repaint. Upgrade headrace"):
        ledger.change(lambda state: ("repaint", "homes", "", {}))


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("mlflow:http://ann:secret@host", "expected a URL without a password"),
        ("mlflow:local", "expected the URL of an MLflow server"),
        ("mlflow:nonsense", "the URL of an MLflow server. Received: 'nonsense'"),
        ("vertex:project", "expected vertex:PROJECT/LOCATION"),
        ("vertex:project/region?buckt=gs://a", "expected vertex:PROJECT/LOCATION"),
        ("vertex:project/region?bucket=s3://a", "expected a bucket as gs://BUCKET/FOLDER"),
    ],
)
def test_uris_that_are_none(uri: str, told: str) -> None:
    with pytest.raises(HeadraceError, match=told) as caught:
        open_platform(uri)
    assert "secret" not in str(caught.value)


def test_names_and_aliases_that_a_service_cannot_keep() -> None:
    vertex, mlflow = VertexStore(VertexPlace("p", "l")), MlflowStore("http://x")
    assert model_id("Homes.2") == "homes-2" and model_id("2nd") == "m-2nd"
    with pytest.raises(HeadraceError, match="expected another name than 'homes.2'"):
        vertex.check_name("homes-2", ["homes.2"])
    with pytest.raises(HeadraceError, match="expected 'homes', which is registered"):
        mlflow.check_name("Homes", ["homes"])
    with pytest.raises(HeadraceError, match="another than that of the audit log"):
        mlflow.check_name("headrace.audit", [])
    for store, alias in ((vertex, "default"), (vertex, "a"), (mlflow, "latest"), (mlflow, "v3")):
        with pytest.raises(HeadraceError, match="alias: expected"):
            store.check_alias(alias)


def test_registering_in_vertex_needs_a_bucket_and_an_image(tmp_path: Path) -> None:
    from headrace.artifacts.bundle import Bundle

    store = VertexStore(VertexPlace("p", "l"))
    with pytest.raises(StoreError, match=r"expected \?bucket=gs://... and &image=... to register. Received: no bucket"):
        store.keep(Bundle.open(write_unscorable_bundle(tmp_path / "b")), "homes", "r")


class Objects:
    """A bucket in which objects have whatever names somebody gave them."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def _strip_protocol(self, path: str) -> str:
        return path.removeprefix("gs://")

    def find(self, root: str) -> list[str]:
        return list(self.names)

    def get_file(self, name: str, target: str) -> None:
        Path(target).write_text(name)


@pytest.mark.parametrize(
    "name",
    ["/../../evil.txt", "/a/../../evil.txt", "/..", "//{place}/evil.txt", "", "/", "-2/evil.txt", "/evil\0.txt"],
)
def test_objects_of_a_bucket_do_not_land_outside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    objects = Objects("models/homes/1/model.onnx", "models/homes/1" + name.format(place=tmp_path))
    monkeypatch.setattr("headrace.platforms.vertex.store._files", lambda uri: objects)
    monkeypatch.setattr(VertexStore, "_connected", lambda self: nullcontext())
    store, folder = VertexStore(VertexPlace("p", "l")), tmp_path / "deep" / "er" / "bundle"
    with pytest.raises(StoreError, match="expected objects that are files of a bundle. Received: one named"):
        store.fetch("gs://models/homes/1", folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["model.onnx"]
    objects.names = ("models/homes/1/model.onnx", "models/homes/1/samples/..a.json")
    store.fetch("gs://models/homes/1/", folder)  # a slash at the end changes nothing
    assert (folder / "samples" / "..a.json").is_file()


def test_logs_of_before_the_champion_was_told_lead_to_what_they_led_to(
    store: Memory, add: Callable[..., ModelVersion]
) -> None:
    add(0), add(1)
    ledger, served = Ledger(store), {"model": "homes", "traffic": 100, "before": []}
    for endpoint, version in (("a", 1), ("b", 1), ("a", 2)):
        ledger.change(lambda state, e=endpoint, v=version: ("deploy", e, "", {**served, "version": v}))  # type: ignore[misc]
    undone = {"model": "homes", "version": 1, "before": 2, "rejected": True, "undone": 1}
    ledger.change(lambda state: ("rollback", "a", "", undone))
    assert ledger.state.aliases["homes"] == {"champion": 1}
    put_away = {"version": 1, "state": "rejected", "before": "blessed"}
    ledger.change(lambda state: ("state", "homes", "", put_away))
    assert LedgerPlatform(store).registry.get("homes", "1").aliases == ("champion",)
