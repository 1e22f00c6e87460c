"""Redis Streams: a consumer group of a stream as a source, another stream as a sink.

An entry's JSON is in its field `data` (another with `?field=`), an answer's in `data` too, beside `id`. A dead letter
has the entry's own in `data`, and `id`, `reason`, `source` and `attempts`. Other fields of an entry go on to both.

Within one Redis an answer is added and its entry is acknowledged in one script, and only by the one that acknowledges:
each entry has one answer, as far as Redis itself keeps what it was given. Between two of them the sink remembers for a
day which ids it has. Entries that a dead consumer left are taken over once they were idle for a while: those delivered
once together, those delivered more often one by one, so that one which ends the process is found and others are not
blamed with it.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Commit, Message, Record, Unavailable
from headrace.serving.streaming.place import Place

if TYPE_CHECKING:
    import redis

IDLE_SECONDS = 60.0  # after which what another consumer has not done is taken over
_LOOK_SECONDS = 5.0  # between two looks at what others left
_SWEEP_SECONDS = 600.0  # between two looks for consumers that are no more
_GONE_SECONDS = 86_400.0  # without a word from a consumer that has nothing, it is no more
_REMEMBER_SECONDS = 86_400  # for which a sink elsewhere knows the ids that it has
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 10.0


def _each(ours: str, first: int) -> str:
    """A script that adds an entry for each record that is still ours to answer, and returns how many those were.

    KEYS: sink, dead letters. ARGV: most entries of the sink (0: no limit), then from `first` on per record its entry's
    id, 1 for a dead letter, and how many fields and values follow. `ours` says of the record at `i` whether it is, and
    makes it so that it is not any more; what that needs besides stands in KEYS and ARGV before the records.
    """
    return f"""
local n, i = 0, {first}
while i <= #ARGV do
  local count = tonumber(ARGV[i + 2])
  if {ours} then
    n = n + 1
    local to = ARGV[i + 1] == '1' and KEYS[2] or KEYS[1]
    local fields = {{}}
    for j = 1, count do fields[j] = ARGV[i + 2 + j] end
    if ARGV[1] == '0' then redis.call('XADD', to, '*', unpack(fields))
    else redis.call('XADD', to, 'MAXLEN', '~', ARGV[1], '*', unpack(fields)) end
  end
  i = i + 3 + count
end
return n
"""


# Of one Redis: KEYS[3] is the source, ARGV[2] the group. Of a sink elsewhere: ARGV[2] begins the keys that remember the
# ids, for ARGV[3] seconds.
_JOINED = _each("redis.call('XACK', KEYS[3], ARGV[2], ARGV[i]) == 1", first=3)
_APART = _each("redis.call('SET', ARGV[2] .. ARGV[i], 1, 'NX', 'EX', ARGV[3])", first=4)

# Consumers that have nothing pending and were not heard of; in one step, as one with entries would lose them.
_SWEEP = """
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local it = {}
  for j = 1, #row, 2 do it[row[j]] = row[j + 1] end
  if it['pending'] == 0 and it['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], it['name'])
  end
end
"""
_PART = 200  # records of a call of a script, which nobody else's commands interrupt
_PART_BYTES = 64 << 20  # of such a call, about: Redis cuts a client off that sends it too much at a time
_MOST_FIELDS = 1_000  # of an entry that is answered: a script cannot hand on more than some thousand

Found = TypeVar("Found")


class RedisSource:
    """A consumer of a group; the group is made where there is none."""

    def __init__(self, place: Place, group: str, start: str, most_attempts: int, idle: float = IDLE_SECONDS) -> None:
        """Connects.

        Args:
            place: where the stream is.
            group: the consumer group.
            start: `earliest` or `latest`: where a group that is made begins.
            most_attempts: deliveries of an entry after which it is a dead letter unseen: it ended the process then.
            idle: seconds after which what another consumer has not done is taken over.

        Raises:
            Unavailable: nobody answers there.
            HeadraceError: what is there is no stream, or Redis refuses us.
        """
        self.name, self.stream, self.group = place.shown, place.name, group
        self.field = place.options.get("field", "data").encode()
        self.server = (place.address, place.options.get("db"))
        self._most_attempts, self._idle = most_attempts, int(idle * 1000)
        self.client = connect(place)
        self._me = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._start = "0" if start == "earliest" else "$"
        self._looked = self._swept = -1e9
        ask(self.name, self._begin)

    def _begin(self) -> None:
        import redis

        try:
            self.client.xgroup_create(self.stream, self.group, self._start, mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, most: int, seconds: float) -> list[Message]:
        """What others left, else what is new; see `Source.read`."""
        return ask(self.name, lambda: self._left(most) or self._new(most, seconds), self._begin)

    def _new(self, most: int, seconds: float) -> list[Message]:
        block = max(1, int(seconds * 1000)) if seconds > 0 else None
        found: Any = self.client.xreadgroup(self.group, self._me, {self.stream: ">"}, most, block)
        return [self._message(entry, 1) for _, entries in found or () for entry in entries]

    def _left(self, most: int) -> list[Message]:
        now = time.monotonic()
        if now - self._looked < min(_LOOK_SECONDS, self._idle / 1000):
            return []
        client: Any = self.client
        rows = client.xpending_range(self.stream, self.group, "-", "+", most, idle=self._idle)
        if not rows:
            self._looked = now
            if now - self._swept > _SWEEP_SECONDS:
                client.eval(_SWEEP, 1, self.stream, self.group, int(_GONE_SECONDS * 1000))
                self._swept = now
            return []
        once = [row for row in rows if row["times_delivered"] < 2]
        chosen = once or rows[:1]
        times = {row["message_id"]: row["times_delivered"] + 1 for row in chosen}
        taken = client.xclaim(self.stream, self.group, self._me, self._idle, list(times))
        return [self._message(entry, times[entry[0]]) for entry in taken if entry and entry[1] is not None]

    def _message(self, entry: Any, attempt: int) -> Message:
        number, fields = entry[0], entry[1] or {}
        why = ""
        headers = {name.decode(errors="replace"): value for name, value in fields.items() if name != self.field}
        if len(headers) > _MOST_FIELDS:
            why = f"message: expected at most {_MOST_FIELDS:,} fields besides {self.field.decode()!r}. "
            why, headers = f"{why}Received: {len(headers):,}, left out here", {}
        elif attempt > self._most_attempts:
            why = f"message: expected to be done with once it was read. Received: {attempt - 1} deliveries, each of "
            why += "which ended before that; the model may have ended the process"
        elif self.field not in fields:
            there = ", ".join(name.decode(errors="replace")[:40] for name in list(fields)[:10]) or "none"
            why = f"message: expected the field {self.field.decode()!r}. Received: the fields {there}"
        return Message(number.decode(), fields.get(self.field, b""), attempt, headers=headers, unreadable=why)

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledges; see `Source.done`."""
        if messages:
            ask(self.name, lambda: self.client.xack(self.stream, self.group, *(one.id for one in messages)))

    def keep(self, messages: Sequence[Message]) -> None:
        """Sets the idle time back; see `Source.keep`. What another has taken over stays with it."""

        def touch() -> None:
            client: Any = self.client
            mine = client.xpending_range(self.stream, self.group, "-", "+", 100_000, consumername=self._me)
            held = {row["message_id"].decode() for row in mine}
            if ids := [one.id for one in messages if one.id in held]:
                client.xclaim(self.stream, self.group, self._me, 0, ids, justid=True)

        ask(self.name, touch)

    def waiting(self) -> int | None:
        """The group's lag and what is pending; None where Redis cannot tell, as after entries were deleted."""
        try:
            client: Any = self.client
            for row in client.xinfo_groups(self.stream):
                if row["name"] == self.group.encode():
                    return None if row.get("lag") is None else int(row["lag"]) + int(row["pending"])
        except Exception:  # noqa: BLE001 (a page of numbers is no place for an error of the network)
            return None
        return None

    def close(self) -> None:
        """Takes the consumer out of its group, if it has nothing left that it would take along."""
        script = _SWEEP.replace("it['idle'] > tonumber(ARGV[2])", "it['name'] == ARGV[2]")
        with suppress(Exception):  # others sweep it away a day later
            self.client.eval(script, 1, self.stream, self.group, self._me)
        self.client.close()


class RedisSink:
    """A stream, and another for dead letters."""

    def __init__(self, place: Place, dead: str, source: str) -> None:
        """Connects.

        Args:
            place: where the stream is; `?maxlen=N` keeps about so many entries of it, `?remember=SECONDS` the ids.
            dead: the stream for dead letters.
            source: as dead letters name where they come from.
        """
        self.name, self.stream, self.dead, self._source = place.shown, place.name, dead, source
        self.server = (place.address, place.options.get("db"))
        self.most = place.number("maxlen", 0)
        self._remember = place.number("remember", _REMEMBER_SECONDS)
        self.client = connect(place)
        self._apart = self.client.register_script(_APART)
        ask(self.name, self._check)

    def _check(self) -> None:
        for key in (self.stream, self.dead):
            kind: Any = self.client.type(key)
            if kind not in (b"none", b"stream"):
                raise HeadraceError(f"{self.name}: expected {key} to be a stream. Received: a {kind.decode()}")

    def write(self, records: Sequence[Record]) -> int:
        """Adds what is not remembered; see `Sink.write`."""

        def store() -> int:
            new = 0
            for part in parts(records):
                head: list[Any] = [self.most, f"{self.stream}:seen:{self._source}:", self._remember]
                arguments = [*head, *self.arguments(part)]
                new += int(self._apart([self.stream, self.dead], arguments))
            return len(records) - new

        return ask(self.name, store)

    def arguments(self, records: Sequence[Record]) -> list[Any]:
        """Records as the scripts take them."""
        found: list[Any] = []
        for record in records:
            fields = self._fields(record)
            found += [record.message.id, "1" if record.reason else "0", len(fields), *fields]
        return found

    def _fields(self, record: Record) -> list[Any]:
        message = record.message
        found: dict[str, Any] = {**message.headers, "id": message.id, "data": record.value}
        if message.key is not None:
            found["key"] = message.key
        if record.reason:
            found |= {"reason": record.reason, "source": self._source, "attempts": message.attempt}
        return [part for pair in found.items() for part in pair]

    def close(self) -> None:
        """Closes the connection."""
        self.client.close()


def joined(source: RedisSource, sink: RedisSink) -> Commit:
    """The commit of a source and a sink of one Redis: an entry is acknowledged and answered in one step, or neither."""
    script = source.client.register_script(_JOINED)

    def commit(records: Sequence[Record]) -> int:
        def store() -> int:
            ours = 0
            for part in parts(records):
                keys = [sink.stream, sink.dead, source.stream]
                ours += int(script(keys, [sink.most, source.group, *sink.arguments(part)]))
            return len(records) - ours

        return ask(source.name, store)

    return commit


def parts(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Records as the scripts get them: some at a time, by their number and their size."""
    part: list[Record] = []
    size = 0
    for record in records:
        own = len(record.value) + sum(map(len, record.message.headers.values()))
        if part and (len(part) == _PART or size + own > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append(record)
        size += own
    if part:
        yield part


def connect(place: Place) -> redis.Redis:
    """A client of the Redis at a place. Nothing is sent yet."""
    import redis

    scheme = "rediss" if place.scheme == "rediss" else "redis"
    who = f"{place.user}@" if place.user else ""
    return redis.Redis.from_url(
        f"{scheme}://{who}{place.address}/{place.options.get('db', '0')}",
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
        socket_keepalive=True,
        health_check_interval=30,
        client_name="headrace-stream",
        protocol=2,
    )


def ask(name: str, work: Callable[[], Found], begin: Callable[[], None] | None = None) -> Found:
    """What Redis answers.

    Args:
        name: of the place, for the errors.
        work: asks it.
        begin: makes the group anew where it is gone, as after Redis lost its data.

    Raises:
        Unavailable: it cannot be reached, or is not ready.
        HeadraceError: it refuses what it was asked.
    """
    import redis

    try:
        return work()
    except redis.AuthenticationError as error:
        raise HeadraceError(f"{name}: expected to be let in. Received: {error}") from None
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise Unavailable(f"{name}: expected Redis to answer. Received: {error or type(error).__name__}") from None
    except redis.ResponseError as error:
        text = str(error)
        if begin and text.startswith(("NOGROUP", "UNBLOCKED")):  # the latter where the stream goes while we wait
            begin()
            raise Unavailable(f"{name}: expected the consumer group. Received: none; it was made anew") from None
        if text.startswith(
            ("LOADING", "BUSY", "MASTERDOWN", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "OOM", "NOREPLICAS")
        ):
            raise Unavailable(f"{name}: expected Redis to be ready. Received: {text}") from None
        hint = ""
        if "WRONGTYPE" in text:
            hint = "; what is there is no stream"
        if text.startswith("CROSSSLOT"):
            hint = "; in a cluster give the streams a common {tag}"
        raise HeadraceError(f"{name}: expected Redis to do as it was asked. Received: {text}{hint}") from None
