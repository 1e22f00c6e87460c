"""The request log, from what a worker saw to the files, in one process."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from picture_bundle import COLOURS, encoded, picture, write_picture_bundle
from tiny_bundle import INPUTS, random_instances, signature_of

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving import board
from headrace.serving.board import Board
from headrace.serving.log_columns import Columns
from headrace.serving.log_files import DAMAGED, keep_within, recover
from headrace.serving.log_process import LogProcess, check_omitted
from headrace.serving.log_writer import Writer
from headrace.serving.metrics import Metrics
from headrace.serving.observe import Observed
from headrace.serving.request_log import MOST_ROWS, RequestLog
from headrace.serving.scorer import Scorer
from headrace.serving.settings import Settings


def seen(bundle: Bundle, rows: Any, outputs: np.ndarray, **more: Any) -> Observed:
    values: dict[str, Any] = {
        "request_id": "abc",
        "route": "/predict",
        "model": bundle.name,
        "version": bundle.version,
        "digest": bundle.digest,
        "time": 1_700_000_000.25,
        "seconds": 0.0015,
        "status": 200,
        "signature": bundle.signature,
        "rows": rows,
        "outputs": outputs,
    }
    return Observed(**{**values, **more})


@contextmanager
def logging(folder: Path, **given: Any) -> Iterator[tuple[RequestLog, Board]]:
    """A log whose files are finished when the block is left."""
    settings = Settings(log_dir=str(folder), **given)
    shared = Board(2)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    folder.mkdir(exist_ok=True)
    writer = threading.Thread(target=Writer(settings, Metrics(shared, 1)).run, args=(ours,))
    writer.start()
    log = RequestLog(theirs, settings, Metrics(shared, 0))
    try:
        yield log, shared
    finally:
        log.close()
        theirs.close()
        writer.join()
        ours.close()


def counted(shared: Board, word: int) -> int:
    return sum(slot.process.counts[word] for slot in shared.slots)


def table(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.iterdir())
    assert all(file.name.startswith("requests-") and file.suffix == ".parquet" for file in files), files
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def cells(instances: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(instance[item.name] for item in INPUTS) for instance in instances]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_what_was_asked_and_answered_is_logged(kind: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    bundle = Bundle.open(bundles[kind])
    instances, expected = bundle.samples()
    scorer = Scorer(bundle)
    inputs = scorer.inputs(cells(instances))
    with logging(tmp_path / "log", endpoint="live") as (log, shared):
        log.see(seen(bundle, inputs.rows, scorer.run(inputs), variant="champion", key="k7"))
    rows = table(tmp_path / "log")
    assert counted(shared, board.LOG_ROWS) == len(instances) and counted(shared, board.LOG_FILES) == 1
    assert [row["row"] for row in rows] == list(range(len(instances)))
    for row, instance, answer in zip(rows, instances, expected, strict=True):
        about = [row[name] for name in ("request_id", "endpoint", "model", "version", "digest", "variant", "key")]
        assert about == ["abc", "live", "tiny", "3", bundle.digest, "champion", "k7"]
        assert (row["shadow"], row["route"], row["latency_seconds"]) == (False, "/predict", 0.0015)
        assert row["time"].timestamp() == 1_700_000_000.25
        for name in ("tenure", "spend per month", "is_new", "plan"):
            assert row["instance"][name] == instance[name], name
        assert (row["instance"]["signup"] is None) == (instance["signup"] is None)
        if kind == "regression":
            assert row["prediction"] == pytest.approx(answer["value"], rel=1e-5)
            continue
        assert row["prediction"] == answer["label"]
        assert row["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)
        shown = answer["probabilities"]
        assert row["score"] == pytest.approx(shown["1"] if kind == "binary" else max(shown.values()), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-03-01", "2024-03-01 00:00:00"),
        ("2024-03-01T10:20", "2024-03-01 10:20:00"),
        ("2024-03-01 10:20:30.123456789Z", "2024-03-01 10:20:30.123456"),
        ("2024-03-01T00:30:00+02:00", "2024-02-29 22:30:00"),
        ("0001-01-01", "0001-01-01 00:00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999"),
        ("0001-01-01T00:00:00+14:00", None),  # of the year 0 in UTC, which the model is given
        ("9999-12-31T23:59:59-14:00", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_moments_in_utc(text: str | None, moment: str | None, binary: Bundle, tmp_path: Path) -> None:
    with logging(tmp_path / "log") as (log, _):
        log.see(seen(binary, [(1, 2.5, 1, "pro", text)], np.array([[0.5, 0.5]], np.float32)))
    (row,) = table(tmp_path / "log")
    assert row["instance"] == {
        "tenure": 1.0,
        "spend per month": 2.5,
        "is_new": True,
        "plan": "pro",
        "signup": None if moment is None else row["instance"]["signup"],
    }
    assert moment is None or str(row["instance"]["signup"]) == moment


def test_one_bundle_under_two_versions_is_logged_as_each_of_them(binary: Bundle, tmp_path: Path) -> None:
    with logging(tmp_path / "log") as (log, _):
        for version in ("3", "4", "3"):
            rows, outputs = [(1, 2.5, 1, "pro", None)], np.array([[0.5, 0.5]], np.float32)
            log.see(seen(binary, rows, outputs, version=version))
    assert sorted(row["version"] for row in table(tmp_path / "log")) == ["3", "3", "4"]


def test_a_row_that_cannot_be_written_is_counted_and_the_writer_goes_on(
    binary: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, take, fails = np.array([[0.5, 0.5]], np.float32), Columns.take, [OverflowError("too far")]

    def taken(columns: Columns) -> Any:
        if fails:
            columns.clear()
            raise fails.pop()
        return take(columns)

    monkeypatch.setattr(Columns, "take", taken)
    with logging(tmp_path / "log") as (log, shared):
        log.see(seen(binary, [(1, 2.5, 1, "pro", None)], outputs))
        deadline = time.monotonic() + 10
        while not counted(shared, board.LOG_DROPPED) and time.monotonic() < deadline:
            time.sleep(0.02)
        log.see(seen(binary, [(1, 2.5, 1, "pro", None)], outputs, request_id="next"))
    assert [row["request_id"] for row in table(tmp_path / "log")] == ["next"]
    assert (counted(shared, board.LOG_ROWS), counted(shared, board.LOG_DROPPED)) == (1, 1)


def test_nan_is_a_missing_number(binary: Bundle, tmp_path: Path) -> None:
    nan = float("nan")
    with logging(tmp_path / "log") as (log, _):
        log.see(seen(binary, [(nan, None, nan, "", "")], np.array([[0.5, 0.5]], np.float32)))
    (row,) = table(tmp_path / "log")
    assert (row["instance"]["tenure"], row["instance"]["is_new"]) == (None, None)


def test_what_is_left_out_never_reaches_the_writer(binary: Bundle, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    settings = Settings(log_dir=str(tmp_path), log_omit="plan, key,signup")
    log = RequestLog(theirs, settings, Metrics())
    rows = [(1, 2.5, True, "secret plan", "2021-12-24")]
    log.see(seen(binary, rows, np.array([[0.5, 0.5]], np.float32), key="secret key"))
    message = ours.recv(1 << 20)
    assert b"secret" not in message and b"2021-12-24" not in message and b"tenure" in message
    with logging(tmp_path / "log", log_omit="plan, key,signup") as (log, _):
        log.see(seen(binary, rows, np.array([[0.5, 0.5]], np.float32), key="secret key"))
    (row,) = table(tmp_path / "log")
    assert list(row["instance"]) == ["tenure", "spend per month", "is_new"] and row["key"] is None


def test_all_inputs_may_be_left_out(binary: Bundle, tmp_path: Path) -> None:
    with logging(tmp_path / "log", log_omit=",".join(item.name for item in INPUTS)) as (log, _):
        log.see(seen(binary, [(1, 2.5, True, "pro", None)], np.array([[0.5, 0.5]], np.float32)))
    (row,) = table(tmp_path / "log")
    assert "instance" not in row and row["prediction"] == "1"


def test_a_slip_in_what_is_left_out_is_refused(binary: Bundle) -> None:
    check_omitted(Settings(log_omit="plan,key"), binary.signature)
    with pytest.raises(HeadraceError, match="log omit: expected some of tenure, .*signup, key. Received: Plan"):
        check_omitted(Settings(log_omit="Plan"), binary.signature)


def test_a_large_request_is_logged_in_parts_and_not_for_ever(binary: Bundle, tmp_path: Path) -> None:
    rows = [(1.0, 2.5, True, "x" * 2000, None)] * (MOST_ROWS + 10)
    with logging(tmp_path / "log") as (log, shared):
        log.see(seen(binary, rows, np.full((len(rows), 2), 0.5, np.float32)))
        while counted(shared, board.LOG_ROWS) < MOST_ROWS:
            time.sleep(0.01)
    assert [row["row"] for row in table(tmp_path / "log")] == list(range(MOST_ROWS))
    assert counted(shared, board.LOG_DROPPED) == 10


def test_a_row_that_is_too_large_is_dropped_and_counted(binary: Bundle, tmp_path: Path) -> None:
    with logging(tmp_path / "log") as (log, shared):
        log.see(seen(binary, [(1.0, 2.5, True, "x" * (5 << 20), None)], np.array([[0.5, 0.5]], np.float32)))
    assert counted(shared, board.LOG_DROPPED) == 1 and not list((tmp_path / "log").iterdir())


def test_nobody_waits_for_a_writer_that_does_not_read(binary: Bundle, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    metrics = Metrics()
    log = RequestLog(theirs, Settings(log_dir=str(tmp_path)), metrics)
    one = seen(binary, [(1.0, 2.5, True, "x" * 1000, None)], np.array([[0.5, 0.5]], np.float32))
    for _ in range(5000):
        log.see(one)
    dropped = metrics.slot.process.counts[board.LOG_DROPPED]
    assert 0 < dropped < 5000
    ours.close()
    log.see(one)  # a writer that has gone is no fault either
    assert metrics.slot.process.counts[board.LOG_DROPPED] == dropped + 1


def test_an_error_has_no_row(binary: Bundle, tmp_path: Path) -> None:
    with logging(tmp_path / "log") as (log, shared):
        log.see(seen(binary, None, np.empty((0, 2), np.float32)))
        log.see(seen(binary, None, np.empty((0, 2)), status=400)._replace(outputs=None))
    assert not list((tmp_path / "log").iterdir()) and counted(shared, board.LOG_DROPPED) == 0


def test_rows_of_versions_with_other_inputs_go_to_other_files(bundles: dict[str, Path], tmp_path: Path) -> None:
    with logging(tmp_path / "log") as (log, _):
        for kind, width in (("binary", 2), ("regression", 1)):
            bundle = Bundle.open(bundles[kind])
            log.see(seen(bundle, cells(random_instances(INPUTS, 3)), np.full((3, width), 0.5, np.float32)))
    assert len(list((tmp_path / "log").iterdir())) == 2


@pytest.mark.parametrize("images", [False, True])
def test_of_pictures_the_digest_is_logged_unless_more_is_asked_for(images: bool, tmp_path: Path) -> None:
    bundle = Bundle.open(write_picture_bundle(tmp_path / "bundle"))
    file, pixels = encoded(picture(1)), picture(0)
    with logging(tmp_path / "log", log_images=images) as (log, _):
        log.see(seen(bundle, [file, pixels], np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1]], np.float32)))
    first, second = (row["instance"][COLOURS.inputs[0].name] for row in table(tmp_path / "log"))
    assert first["digest"] == "sha256:" + hashlib.sha256(file).hexdigest() and first["bytes"] == len(file)
    assert second["bytes"] == pixels.nbytes
    assert first.get("content") == (file if images else None) and second.get("content") is None


def test_pictures_beyond_a_number_are_dropped_and_counted(tmp_path: Path) -> None:
    bundle = Bundle.open(write_picture_bundle(tmp_path / "bundle"))
    pictures = [np.zeros((2000, 2000, 3), np.uint8)]
    with logging(tmp_path / "log") as (log, shared):
        for _ in range(200):
            log.see(seen(bundle, pictures, np.array([[0.1, 0.8, 0.1]], np.float32)))
    assert counted(shared, board.LOG_DROPPED) > 0
    assert counted(shared, board.LOG_DROPPED) + counted(shared, board.LOG_ROWS) == 200


def left_behind(folder: Path, bundle: Bundle) -> Path:
    """What a writer leaves that is killed when it has written two batches of three rows."""
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        writer = Writer(Settings(log_dir=str(folder)), Metrics())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = RequestLog(theirs, Settings(log_dir=str(folder)), Metrics())
        for number in range(2):
            log.see(seen(bundle, [(number, 2.5, True, "pro", None)] * 3, np.full((3, 2), 0.5, np.float32)))
            writer._messages.append(ours.recv(1 << 20))
            writer._take()
            for spool in writer._spools.values():
                writer._flush(spool)
        os._exit(0)
    os.waitpid(pid, 0)
    (spool,) = folder.iterdir()
    assert spool.name.startswith(".requests-") and spool.suffix == ".arrows"
    return spool


@pytest.mark.parametrize("cut", [0, 1, 300, -10, None])
def test_what_a_killed_writer_left_is_read(cut: int | None, binary: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    spool = left_behind(folder, binary)
    if cut is not None:
        spool.write_bytes(spool.read_bytes()[:cut])
    made = recover(folder)
    expected = {None: 6, -10: 3}.get(cut, 0)
    assert len(made) == (expected > 0)
    assert [row["instance"]["tenure"] for row in table(folder)] == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0][:expected]


def test_what_a_power_cut_left_is_read_as_far_as_it_is_whole_or_set_aside(binary: Bundle, tmp_path: Path) -> None:
    """The end of the file is zeros, from any place on: nothing raises, and no spool stays."""
    spool = left_behind(tmp_path / "log", binary)
    whole, read, aside = spool.read_bytes(), set(), 0
    for kept in range(0, len(whole) + 1, 8):
        folder = tmp_path / str(kept)
        folder.mkdir()
        (folder / spool.name).write_bytes(whole[:kept] + bytes(len(whole) - kept))
        (made,) = recover(folder) or [None]
        assert list(folder.iterdir()) == ([made] if made else [])
        if made is not None and made.suffix == DAMAGED:
            aside += 1
            assert recover(folder) == [], "it is told once"
        elif made is not None:
            tenures = [row["instance"]["tenure"] for row in table(folder)]
            assert len(tenures) in (3, 6)
            read.add(len(tenures))
    assert read == {3, 6} and aside > 0


def test_a_disk_that_is_full_loses_what_comes_then_and_not_what_was_written(binary: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        metrics = Metrics()
        writer = Writer(Settings(log_dir=str(folder)), metrics)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = RequestLog(theirs, Settings(log_dir=str(folder)), metrics)
        counts = metrics.slot.process.counts
        while not counts[board.LOG_DROPPED]:
            log.see(seen(binary, [(1.0, 2.5, True, "pro", None)] * 50, np.full((50, 2), 0.5, np.float32)))
            writer._messages.append(ours.recv(1 << 20))
            writer._take()
            for spool in list(writer._spools.values()):
                writer._flush(spool)
        log.see(seen(binary, [(1.0, 2.5, True, "pro", None)], np.full((1, 2), 0.5, np.float32)))
        writer._messages.append(ours.recv(1 << 20))
        writer._take()  # does not try again at once
        os.write(tell, f"{counts[board.LOG_ROWS]} {counts[board.LOG_DROPPED]} {len(writer._spools)}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    written, dropped, spools = map(int, os.read(told, 100).split())
    assert written > 100 and (dropped, spools) == (51, 0)
    recover(folder)
    assert len(table(folder)) == written


def test_the_file_of_a_running_writer_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / ".requests-x.parquet.arrows"
    with file.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert recover(tmp_path) == [] and file.exists()


def test_the_oldest_files_go_first_and_others_are_never_touched(tmp_path: Path) -> None:
    for number in range(5):
        file = tmp_path / f"requests-{number}.parquet"
        file.write_bytes(b"x" * 100)
        os.utime(file, (number, number))
    (tmp_path / "mine.parquet").write_bytes(b"x" * 1000)
    (tmp_path / ".requests-9.parquet.arrows").write_bytes(b"x" * 100)
    assert keep_within(tmp_path, 350) == (300, 3)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [".requests-9.parquet.arrows", "mine.parquet", "requests-3.parquet", "requests-4.parquet"]


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadraceError, match="log dir: expected a folder to write to. Received: .*file"):
        LogProcess(Settings(log_dir=str(tmp_path / "file")), Board(3))


def test_the_signature_of_the_tests_has_every_type() -> None:
    assert {item.type for item in signature_of("binary").inputs} == {"number", "boolean", "category", "date"}
