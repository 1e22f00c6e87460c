"""How forked processes end: never in their parent's code."""

import os
import sys

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.forked import forked


def run(work, **options):
    """The exit status of a fork that does this work."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        forked(work, **options)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def refuse():
    raise HeadraceError("port: expected a free one. Received: 80")


@pytest.mark.parametrize(
    ("work", "status"),
    [(lambda: None, 0), (sys.exit, 0), (lambda: sys.exit(3), 1), (lambda: sys.exit("no"), 1), (refuse, 1)],
)
def test_the_status_says_whether_the_work_was_done(work, status, capfd):
    assert run(work) == status
    assert "Traceback" not in capfd.readouterr().err


def test_what_people_can_mend_is_said_and_anything_else_shown_in_full(capfd):
    run(refuse)
    assert capfd.readouterr().err == "error: port: expected a free one. Received: 80\n"
    run(refuse, refused=lambda error: print(f"not served: {error}", file=sys.stderr))
    assert capfd.readouterr().err == "not served: port: expected a free one. Received: 80\n"
    assert run(lambda: {}["x"]) == 1
    assert "KeyError: 'x'" in capfd.readouterr().err
    assert run(lambda: refuse(), refused=lambda error: {}["x"]) == 1
