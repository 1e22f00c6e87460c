"""Which run and which task is meant by what was typed: whole names, beginnings, and near misses."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.record.record import Record, RecordError
from headrace.pipelines.local.record.results import TaskResult

_LATEST = re.compile(r"latest(?:~(\d+))?")
_NAMED = 5  # candidates that an error names


@contextlib.contextmanager
def opened(home: Path) -> Iterator[Record]:
    """The record of a home in which something has run.

    Raises:
        RecordError: nothing has.
    """
    if not (home / "runs.db").exists():
        raise RecordError(f"{home}: expected a run. Received: none; `headrace run SPEC` makes one")
    with contextlib.closing(Record(home)) as record:
        yield record


def find_run(record: Record, text: str) -> str:
    """The id of the run that a text means.

    That is `latest`, `latest~1` (the one before it), an id, an unambiguous beginning of an id or of one of its
    parts (date, time, number), or the name of a pipeline, which means its latest run.

    Raises:
        RecordError: no run, or several.
    """
    rows = record.rows("SELECT id, name FROM runs ORDER BY started DESC, id DESC")
    ids = [str(row["id"]) for row in rows]
    if match := _LATEST.fullmatch(text):
        back = int(match.group(1) or 0)
        if back < len(ids):
            return ids[back]
        raise RecordError(f"expected at least {back + 1} runs in {record.file}. Received: {len(ids)}")
    found = [i for i in ids if i == text] or [i for i in ids if _begins(i, text)]
    found = (found if text else []) or [str(row["id"]) for row in rows if row["name"] == text][:1]
    if len(found) == 1:
        return found[0]
    if found:
        raise RecordError(f"expected one run that begins with {text!r}. Received: {_some(found)}")
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    raise RecordError(
        f"{record.file}: expected a run, as `headrace runs` lists them{_near(text, [*names, *ids])}. Received: {text!r}"
    )


def find_task(tasks: Mapping[str, TaskResult], text: str) -> TaskResult:
    """The task that a text means: its path, its label, or its name where that is one task's only.

    Raises:
        HeadraceError: no task, or several.
    """
    leaves = [task for task in tasks.values() if task.leaf]
    for found in (
        [task for task in leaves if task.path == text],
        [task for task in leaves if task.label == text],
        [task for task in leaves if text in (task.name, task.path.rpartition("/")[2])],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise HeadraceError(f"expected one task. Received: {text!r}, which is {_some(t.label for t in found)}")
    names = [task.label for task in leaves]
    raise HeadraceError(f"expected one of the tasks {_some(names) or 'none'}{_near(text, names)}. Received: {text}")


def _begins(run_id: str, text: str) -> bool:
    return run_id.startswith(text) or any(part.startswith(text) for part in run_id.split("-"))


def _some(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - _NAMED * 4} more" if len(every) > _NAMED * 4 else ""
    return ", ".join(every[: _NAMED * 4]) + more


def _near(text: str, names: list[str]) -> str:
    near = difflib.get_close_matches(text, names[:2_000], n=1)
    return f" (did you mean {near[0]}?)" if near else ""
