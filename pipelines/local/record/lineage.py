"""What an artifact was made from, and what was made from it: queries on the record of runs.

An artifact is its content: digest and type decide, wherever it lies and whichever run put it out. Only one
whose content is not known (a remote one, or one that says all in its metadata) is itself alone. Tasks that did
the same (the cache key decides) count as one, with the number of runs that they happened in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.record.finding import find_task
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, TaskResult
from headrace.pipelines.local.store.digests import ABSENT

_CHUNK = 500  # of values in one query
SHORTEST = 4  # digits of a digest that may be asked for


@dataclass(frozen=True)
class Content:
    """One artifact."""

    record: ArtifactRecord
    registered: tuple[str, ...] = ()  # "churn version 3 (champion)", "endpoint churn"


@dataclass(frozen=True)
class Doing:
    """One task of a run, standing for all that did the same."""

    run: str
    path: str
    label: str
    state: str
    seconds: float
    cached: bool
    parameters: Mapping[str, Any]
    runs: int  # in how many runs it was done, or taken from the cache


@dataclass(frozen=True)
class Lineage:
    """The ways up and down from where the question began.

    Keys of contents and doings are ids within this answer. `up` leads from a content to the tasks that made it,
    and from a task to its inputs; `down` from a content to the tasks that took it, and from a task to its outputs;
    each step with the name of the input or output.
    """

    run: str  # the run that was asked about
    start: tuple[str, ...]
    contents: Mapping[str, Content]
    doings: Mapping[str, Doing]
    up: Mapping[str, tuple[tuple[str, str], ...]]
    down: Mapping[str, tuple[tuple[str, str], ...]]
    complete: bool = True  # False: there was more than the limit


def find_lineage(record: Record, run_id: str, subject: str, limit: int | None = None) -> Lineage:
    """The lineage of a task, of an artifact (`task/output` or `output`) of a run, or of a digest's beginning.

    Args:
        limit: artifacts and tasks after which no more are looked for; None: all there are.

    Raises:
        HeadraceError: there is nothing of that name.
    """
    search = _Search(record, run_id, limit)
    run = record.run(run_id)
    task, found = _subject(record, run, subject)
    contents = [search.content(row_id, artifact) for row_id, artifact in found]
    start = (search.doing_of(run_id, task.path),) if task else tuple(dict.fromkeys(contents))
    search.walk_up(start)
    search.walk_down(start)
    named = _registered(record.home, search.contents)
    contents_named = {key: Content(item, named.get(key, ())) for key, item in search.contents.items()}
    return Lineage(run_id, start, contents_named, search.doings, search.up, search.down, search.complete)


def _subject(record: Record, run: RunResult, text: str) -> tuple[TaskResult | None, list[tuple[int, ArtifactRecord]]]:
    """(the task that is meant, or None; the artifacts to begin at, with their row ids)."""
    outputs = [(t, name) for t in run.tasks.values() if t.leaf for name in t.artifacts]
    exact = [(t, name) for t, name in outputs if text in (f"{t.path}/{name}", f"{t.label}/{name}")]
    alone = [(t, name) for t, name in outputs if text == name]
    leaf_names = {n for t in run.tasks.values() if t.leaf for n in (t.path, t.label, t.name)}
    if text in leaf_names:
        task = find_task(run.tasks, text)
        return task, list(_put_out(record, run.id, task.path))
    if exact or len(alone) == 1:
        task, name = (exact or alone)[0]
        return None, list(_put_out(record, run.id, task.path, name))
    if by_digest := _with_digest(record, text):
        return None, by_digest
    if alone:
        several = ", ".join(f"{t.label}/{name}" for t, name in alone)
        raise HeadraceError(f"expected one artifact. Received: {text}, which is {several}")
    names = sorted({f"{t.label}/{name}" for t, name in outputs})
    try:
        find_task(run.tasks, text)
    except HeadraceError as error:
        raise HeadraceError(f"{error}; nor is it an artifact of {run.id} ({_few(names)}), or a digest") from None
    raise AssertionError("a task was found, so its name is known")


def _few(names: list[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _put_out(record: Record, run: str, path: str, name: str | None = None) -> Iterator[tuple[int, ArtifactRecord]]:
    query = (
        "SELECT artifacts.id, record FROM uses JOIN artifacts ON artifact = artifacts.id "
        "WHERE run = ? AND path = ? AND direction = 'out' AND (?3 IS NULL OR name = ?3) ORDER BY name, position"
    )
    for row in record.rows(query, (run, path, name)):
        yield row["id"], _artifact(row["record"])


def _with_digest(record: Record, text: str) -> list[tuple[int, ArtifactRecord]]:
    """The artifacts whose digest begins with a text, with or without its `sha256:`; one content only."""
    digits = text.rpartition(":")[2]
    if len(digits) < SHORTEST or not all(c in "0123456789abcdef" for c in digits):
        return []
    start = text if ":" in text else f"sha256:{text}"
    rows = record.rows(
        "SELECT id, digest, type, record FROM artifacts WHERE digest >= ? AND digest < ? ORDER BY id",
        (start, start + "g"),
    )
    if len(digests := sorted({row["digest"] for row in rows})) > 1:
        raise HeadraceError(f"expected the beginning of one digest. Received: {text}, which begins {_few(digests)}")
    by_type = {row["type"]: (row["id"], _artifact(row["record"])) for row in rows}
    return list(by_type.values())


def _artifact(text: str) -> ArtifactRecord:
    return ArtifactRecord(**json.loads(text))


class _Search:
    """A walk over the record, a few queries per level; contents and tasks are met once."""

    def __init__(self, record: Record, run_id: str, limit: int | None) -> None:
        self._record, self._run, self._limit = record, run_id, limit
        self.complete = True
        self.contents: dict[str, ArtifactRecord] = {}
        self.doings: dict[str, Doing] = {}
        self.up: dict[str, tuple[tuple[str, str], ...]] = {}
        self.down: dict[str, tuple[tuple[str, str], ...]] = {}
        self._rows: dict[str, list[int]] = {}  # content -> its rows in the table
        self._same: dict[str, str] = {}  # key of a task's doings -> doing

    def content(self, row_id: int, artifact: ArtifactRecord) -> str:
        """The key of an artifact."""
        known = artifact.digest not in (None, ABSENT)
        key = f"{artifact.digest} {artifact.type}" if known else f"artifact {row_id}"
        if key not in self.contents:
            self.contents[key] = artifact
            rows = [row_id]
            if known:
                query = "SELECT id FROM artifacts WHERE digest = ? AND type = ?"
                rows = [row["id"] for row in self._record.rows(query, (artifact.digest, artifact.type))]
            self._rows[key] = rows
        return key

    def walk_up(self, start: Iterable[str]) -> None:
        self._walk(start, self.up, self._makers, "in")

    def walk_down(self, start: Iterable[str]) -> None:
        self._walk(start, self.down, self._takers, "out")

    def _walk(self, start: Iterable[str], edges: dict[str, Any], tasks_of: Any, direction: str) -> None:
        waiting = list(dict.fromkeys(start))
        while waiting:
            if self._limit is not None and len(self.contents) + len(self.doings) > self._limit:
                self.complete = False
                return
            contents = [key for key in waiting if key in self.contents and key not in edges]
            doings = [key for key in waiting if key in self.doings and key not in edges]
            edges.update(tasks_of(contents))
            edges.update(self._artifacts_of(doings, direction))
            waiting = list(dict.fromkeys(key for at in (*contents, *doings) for _, key in edges[at]))

    def _makers(self, contents: list[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        """The tasks that put contents out: those of the run asked about where there are any, and the origin
        of what such a task has only fetched."""
        found = {}
        for key, rows in self._uses(contents, "out").items():
            here = [row for row in rows if row["run"] == self._run]
            made = [row for row in rows if row["takes"]]
            chosen = here or made or rows
            if not any(row["takes"] for row in chosen):  # fetched: whoever made the same is where it came from
                chosen = [*chosen, *made]
            found[key] = self._distinct(chosen, rows)
        return found

    def _takers(self, contents: list[str]) -> dict[str, tuple[tuple[str, str], ...]]:
        return {key: self._distinct(rows, rows) for key, rows in self._uses(contents, "in").items()}

    def _uses(self, contents: list[str], direction: str) -> dict[str, list[Any]]:
        """Per content the uses of it by tasks (groups pass on only), the run asked about first, then the latest."""
        by_row = {row: key for key in contents for row in self._rows[key]}
        found: dict[str, list[Any]] = {key: [] for key in contents}
        for chunk in _chunks(list(by_row)):
            query = (
                "SELECT artifact, uses.name AS used_as, tasks.*, EXISTS (SELECT 1 FROM uses AS taken WHERE "
                "taken.run = tasks.run AND taken.path = tasks.path AND taken.direction = 'in') AS takes "
                "FROM uses JOIN tasks ON tasks.run = uses.run AND tasks.path = uses.path "
                f"WHERE artifact IN ({','.join('?' * len(chunk))}) AND direction = ? AND leaf = 1 "
                "ORDER BY tasks.run <> ?, tasks.cached, tasks.started DESC, tasks.position"
            )
            for row in self._record.rows(query, (*chunk, direction, self._run)):
                found[by_row[row["artifact"]]].append(row)
        return found

    def _distinct(self, chosen: list[Any], every: list[Any]) -> tuple[tuple[str, str], ...]:
        """The tasks of rows, those that did the same once."""
        runs: dict[str, set[str]] = {}
        for row in every:
            runs.setdefault(_same(row), set()).add(row["run"])
        steps = [(row["used_as"], self._doing(row, len(runs[_same(row)]))) for row in chosen]
        return tuple(dict.fromkeys(steps))

    def _doing(self, row: Any, runs: int) -> str:
        key = self._same.setdefault(_same(row), f"{row['run']} {row['path']}")
        if key not in self.doings:
            run, _, path = key.partition(" ")
            label = TaskResult(path, row["name"], row["component"], row["state"]).label
            self.doings[key] = Doing(
                run=run,
                path=path,
                label=label,
                state=row["state"],
                seconds=row["seconds"],
                cached=bool(row["cached"]),
                parameters=json.loads(row["parameters"]),
                runs=runs,
            )
        return key

    def doing_of(self, run: str, path: str) -> str:
        """The key of one task."""
        (row,) = self._record.rows("SELECT * FROM tasks WHERE run = ? AND path = ?", (run, path))
        runs = {run}
        query = (  # by way of what it put out, or took: there is an index for that
            "SELECT DISTINCT tasks.run FROM uses JOIN tasks ON tasks.run = uses.run AND tasks.path = uses.path "
            "WHERE artifact = (SELECT artifact FROM uses WHERE run = ? AND path = ? ORDER BY direction DESC LIMIT 1) "
            "AND key = ? AND key <> '' AND tasks.path = ?"
        )
        runs.update(other["run"] for other in self._record.rows(query, (run, path, row["key"], path)))
        return self._doing(row, len(runs))

    def _artifacts_of(self, doings: list[str], direction: str) -> dict[str, tuple[tuple[str, str], ...]]:
        query = (
            "SELECT uses.name AS used_as, artifacts.id, record FROM uses JOIN artifacts ON artifact = artifacts.id "
            "WHERE run = ? AND path = ? AND direction = ? ORDER BY uses.name, uses.position"
        )
        found = {}
        for key in doings:
            doing = self.doings[key]
            rows = self._record.rows(query, (doing.run, doing.path, direction))
            steps = [(row["used_as"], self.content(row["id"], _artifact(row["record"]))) for row in rows]
            found[key] = tuple(dict.fromkeys(steps))
        return found


def _same(row: Any) -> str:
    """What tasks have in common that did the same, in the same place of their runs."""
    return f"{row['key'] or row['run']} {row['path']}"


def _chunks(values: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _registered(home: Path, contents: Mapping[str, ArtifactRecord]) -> dict[str, tuple[str, ...]]:
    """As which versions models are registered, and at which endpoints they serve or served, by content."""
    keys = {artifact.digest: key for key, artifact in contents.items() if artifact.type == "system.Model"}
    if not keys or not (home / "registry.db").exists():
        return {}
    from headrace.platforms.open import open_platform

    platform = open_platform("local", home)
    serving = {(d.model, d.version, e.name) for e in platform.endpoints.list() for d in e.deployed}
    deployed: dict[tuple[str, str], dict[str, None]] = {}
    for event in platform.registry.history():
        if event.action == "deploy":
            at = (str(event.detail["model"]), str(event.detail["version"]))
            deployed.setdefault(at, {})[event.subject] = None
    found: dict[str, tuple[str, ...]] = {}
    for version in (v for name in platform.registry.models() for v in platform.registry.versions(name)):
        if version.digest in keys:
            aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
            said = [f"registered as {version.name} version {version.version}{aliases}, run {version.run}"]
            for endpoint in deployed.get((version.name, version.version), ()):
                now = (version.name, version.version, endpoint) in serving
                said.append(f"{'pushed to' if now else 'was pushed to'} the endpoint {endpoint}")
            found[keys[version.digest]] = (*found.get(keys[version.digest], ()), *said)
    return found
