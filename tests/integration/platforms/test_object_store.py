"""The registry in a bucket: what it needs of the store, by the real client of Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.platforms.kubeflow.place import KubeflowPlace
from headrace.platforms.kubeflow.store import ObjectStore
from headrace.platforms.ledger.store import StoreError
from tests.cloud import gcs_server
from tests.cloud.gcs_server import Storage, storage_service


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with storage_service("models") as found:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", found.url)
        yield found


def in_bucket() -> ObjectStore:
    return ObjectStore(KubeflowPlace("models", "gs://models/headrace"))


def test_of_two_entries_behind_the_same_one_counts(storage: Storage) -> None:
    one, other = in_bucket(), in_bucket()
    one.append(0, "first")
    other.append(0, "second")
    assert one.entries(0) == other.entries(0) == [(1, "first")]
    other.append(1, "second")
    assert one.entries(1) == [(2, "second")]
    assert storage.get("gs://models/headrace/log/00000002") == b"second"


def test_a_store_that_takes_a_name_twice_is_refused(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.cloud.gcs_server._allowed", lambda *_: True)
    store = in_bucket()
    with pytest.raises(StoreError, match="expected a store that makes an object only once"):
        store.append(0, "first")
    assert store.entries(0) == []


def test_a_store_that_takes_a_name_twice_at_the_same_time_is_refused(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, refused = gcs_server._allowed, []

    def allowed(query: dict[str, str], stored: gcs_server.Stored | None) -> bool:
        """One after another they are told apart; at the same time they are not."""
        if not refused and not usual(query, stored):
            refused.append(query)
            return False
        return True

    monkeypatch.setattr(gcs_server, "_allowed", allowed)
    store = in_bucket()
    with pytest.raises(StoreError, match="for those who come at the same time. Received: one that told 4 of 4"):
        store.append(0, "first")
    assert store.entries(0) == []
    monkeypatch.setattr(gcs_server, "_allowed", usual)
    store.append(0, "first")
    assert [name for name in storage.buckets["models"] if "only-once-" in name] == []


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    place = KubeflowPlace("models", "pvc://claim/headrace", mount=str(tmp_path / "file"))
    with pytest.raises(StoreError, match="pvc://claim/headrace: expected a store that answers. Received: "):
        ObjectStore(place).append(0, "first")


def test_addresses_of_elsewhere_are_not_read(tmp_path: Path) -> None:
    store = ObjectStore(KubeflowPlace("models", "pvc://claim/headrace", mount=str(tmp_path)))
    for place in ("pvc://other/headrace/x", "pvc://claim/headrace/../x", "/etc/passwd"):
        with pytest.raises(StoreError, match="expected what lies in pvc://claim/headrace. Received: "):
            store.fetch_document(place)
