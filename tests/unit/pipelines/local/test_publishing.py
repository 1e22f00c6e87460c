"""Work beside the loop: what is small enough to stay in it, waking, order, and the end."""

import select
import threading
import time

import pytest

from headrace.pipelines.local.workers.publishing import SMALL_BYTES, SMALL_FILES, Publisher, is_small


def test_what_is_small(tmp_path):
    assert is_small(tmp_path)
    assert is_small(tmp_path / "deleted by the task")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(b"x" * SMALL_BYTES)
    assert is_small(tmp_path)
    (tmp_path / "link").symlink_to("/")  # not followed
    assert is_small(tmp_path) is False  # one byte of its own is too much
    (tmp_path / "link").unlink()
    (tmp_path / "deep" / "er" / "file").unlink()
    for number in range(SMALL_FILES):
        (tmp_path / f"{number}").touch()
    assert not is_small(tmp_path)


def finished(publisher, count):
    found = []
    while len(found) < count:
        assert select.select([publisher.wake], [], [], 20)[0]
        found += publisher.finished()
    return found


def test_the_loop_is_woken_and_told_in_the_order_of_the_ends():
    publisher: Publisher[str] = Publisher(2)
    first = threading.Event()
    publisher.submit("slow", lambda: f"{first.wait(20)}")
    publisher.submit("fast", lambda: "done")
    ((name, future),) = finished(publisher, 1)
    assert (name, future.result()) == ("fast", "done")
    first.set()
    ((name, future),) = finished(publisher, 1)
    assert (name, future.result()) == ("slow", "True")
    assert publisher.finished() == []
    publisher.close()


def test_an_error_is_passed_on():
    publisher: Publisher[float] = Publisher(1)
    publisher.submit("a", lambda: 1 / 0)
    ((_, future),) = finished(publisher, 1)
    with pytest.raises(ZeroDivisionError):
        future.result()
    publisher.close()


def test_the_end_waits_for_what_has_begun_and_drops_the_rest():
    publisher: Publisher[None] = Publisher(1)
    begun, done = threading.Event(), []

    def work(name):
        begun.set()
        time.sleep(0.2)
        done.append(name)

    publisher.submit("a", lambda: work("a"))
    publisher.submit("b", lambda: work("b"))
    assert begun.wait(20)
    publisher.close()
    assert done == ["a"]
    assert not [t for t in threading.enumerate() if t.name.startswith("publish")]
