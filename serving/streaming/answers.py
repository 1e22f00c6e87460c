"""Messages to records: what the model says of each, or why it cannot.

A message's body is one JSON object, the raw features by name. Each is decoded by itself: bodies that were put together
as texts could answer for one another. What can be decoded goes through the model together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headrace.artifacts.answer import predictions
from headrace.artifacts.signature import Signature
from headrace.serving.encode import days
from headrace.serving.request import TYPES, BadRequest, explain, fields_of, json_object, malformed
from headrace.serving.served import Served
from headrace.serving.streaming.message import Message, Record

Decode = Callable[[bytes], tuple[Any, bytes]]
"""A body to what the model takes of it, and the fields to be kept as JSON; raises BadRequest."""


class Answers:
    """The model of the moment, and the form of what is written."""

    def __init__(self, served: Served, keep: Sequence[str] = (), ignore_others: bool = False) -> None:
        """Builds the decoder of the model's messages.

        Args:
            served: the loaded model.
            keep: fields of a message that are copied into its answer; they need not be inputs of the model.
            ignore_others: whether fields that are neither inputs nor kept are passed over; otherwise they are refused.
        """
        self.served = served
        self.unseen = 0  # categories unknown in training, so far
        self._signature = served.bundle.signature
        table = self._signature.image is None
        self._decode: Decode = (table_decoder if table else object_decoder)(self._signature, keep, ignore_others)
        self._run: Callable[[list[Any]], Any] = self._rows if table else self._pictures
        self._encode = msgspec.json.Encoder().encode
        told = {"model": served.name, "version": served.version, "digest": served.digest}
        self._tail = self._encode({name: value for name, value in told.items() if value is not None})[1:]

    def records(self, messages: Sequence[Message]) -> list[Record]:
        """One record for each message, in their order."""
        found: list[Record | None] = [None] * len(messages)
        places, inputs, kept = [], [], []
        for place, message in enumerate(messages):
            try:
                if message.unreadable:
                    raise BadRequest(message.unreadable)
                decoded, keeps = self._decode(message.body)
            except BadRequest as error:
                found[place] = Record(message, message.body, str(error))
                continue
            places.append(place)
            inputs.append(decoded)
            kept.append(keeps)
        for place, keeps, answer in zip(places, kept, self._answers(inputs), strict=True):
            message = messages[place]
            if isinstance(answer, str):
                found[place] = Record(message, message.body, answer)
            else:
                found[place] = Record(message, self._value(message, answer, keeps))
        return [record for record in found if record is not None]

    def _value(self, message: Message, answer: dict[str, Any], keeps: bytes) -> bytes:
        head = b'{"id":' + self._encode(message.id)
        fields = b',"fields":' + keeps if keeps else b""
        return head + fields + b',"prediction":' + self._encode(answer) + b"," + self._tail

    def _answers(self, inputs: list[Any]) -> list[dict[str, Any] | str]:
        """A prediction for each, or why there is none; what fails together is tried one by one."""
        if not inputs:
            return []
        try:
            return list(predictions(self._signature, self._run(inputs)))
        except BadRequest as error:
            if len(inputs) == 1:
                return [str(error).replace("instances[0]", "message")]
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's exceptions have no common base but Exception)
            if len(inputs) == 1:
                return [f"message: expected an answer of the model. Received: {type(error).__name__}: {error}"]
        return [self._answers([one])[0] for one in inputs]

    def _rows(self, rows: list[Any]) -> Any:
        scorer: Any = self.served.scorer
        inputs = scorer.inputs(rows)
        self.unseen += inputs.unseen
        return scorer.run(inputs)

    def _pictures(self, bodies: list[Any]) -> Any:
        scorer: Any = self.served.scorer
        pictures, _ = scorer.decode(b'{"instances":[' + b",".join(bodies) + b"]}")
        return scorer.run(pictures)


def table_decoder(signature: Signature, keep: Sequence[str], ignore_others: bool) -> Decode:
    """The decoder of a table's messages, to rows of raw cells in the signature's order."""
    slow = _table_slowly(signature, keep, ignore_others)
    width = len(signature.inputs)
    names = [item.name for item in signature.inputs]
    apart = [name for name in keep if name not in names]
    if len(apart) != len(keep) or any(msgspec.json.encode(name) != b'"%s"' % name.encode() for name in [*names, *keep]):
        return slow  # a kept input, or a name that msgspec does not take for a struct's field
    fields: list[Any] = [
        (f"f{place}", TYPES[item.type], msgspec.field(name=item.name)) for place, item in enumerate(signature.inputs)
    ]
    fields += [(f"k{i}", msgspec.Raw, msgspec.field(name=name)) for i, name in enumerate(apart)]
    kind = msgspec.defstruct("Row", fields, forbid_unknown_fields=not ignore_others, gc=False)
    decode, astuple = msgspec.json.Decoder(kind).decode, msgspec.structs.astuple
    dates = [place for place, item in enumerate(signature.inputs) if item.type == "date"]

    def row(body: bytes) -> tuple[Any, bytes]:
        try:
            cells = astuple(decode(body))
            for place in dates:
                if cells[place]:
                    days(cells[place])
        except (ValueError, RecursionError):
            return slow(body)
        if not apart:
            return cells, b""
        return cells[:width], _kept(dict(zip(apart, cells[width:], strict=True)))

    return row


def _table_slowly(signature: Signature, keep: Sequence[str], ignore_others: bool) -> Decode:
    """The same field by field: any names, and errors in the words of the server."""
    leaves = [(item.name, item.type, msgspec.json.Decoder(TYPES[item.type]).decode) for item in signature.inputs]
    others = object_decoder(signature, keep, ignore_others)

    def cell(value: Any, kind: str) -> Any:
        if kind == "date" and value:
            days(value)
        return value

    def row(body: bytes) -> tuple[Any, bytes]:
        inputs, kept = others(body)
        values = msgspec.json.decode(inputs, type=dict[str, msgspec.Raw])
        try:
            return tuple(cell(leaf(values[name]), kind) for name, kind, leaf in leaves), kept
        except (ValueError, RecursionError) as error:
            told = explain(b'{"instances":[' + inputs + b"]}", signature, error)
            raise BadRequest(told.replace("instances[0]", "message", 1)) from None

    return row


def object_decoder(signature: Signature, keep: Sequence[str], ignore_others: bool) -> Decode:
    """A body to the JSON object of the model's inputs alone, and that of the fields to be kept."""
    names = [item.name for item in signature.inputs]
    known = [*names, *(name for name in keep if name not in names)]

    def split(body: bytes) -> tuple[Any, bytes]:
        try:
            raw = msgspec.Raw(body)
            if ignore_others:
                raw = msgspec.Raw(_object(_only(raw, known)))
            values = json_object(raw, "message", known)
        except BadRequest:
            raise
        except RecursionError:
            raise BadRequest("message: expected at most a few levels of nesting. Received: too many") from None
        except ValueError as error:
            told = malformed(body, error).replace('JSON {"instances": [...]}', "an object of JSON", 1)
            raise BadRequest(f"message{told.removeprefix('body')}") from None
        missing = [name for name in known if name not in values]
        if missing:
            raise BadRequest(f"message: expected {fields_of(missing)} (null where missing). Received: none")
        kept = _kept({name: values[name] for name in keep}) if keep else b""
        return _object({name: values[name] for name in names}), kept

    return split


def _only(raw: msgspec.Raw, known: Sequence[str]) -> dict[str, msgspec.Raw]:
    try:
        values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return json_object(raw, "message", known)  # which says what came instead
    return {name: value for name, value in values.items() if name in known}


def _kept(values: dict[str, msgspec.Raw]) -> bytes:
    """The object of the fields to be kept; `msgspec.Raw` takes bytes that are no text, and no answer may have them."""
    found = _object(values)
    try:
        found.decode()
    except UnicodeDecodeError:
        name = next(name for name, raw in values.items() if not _is_text(raw))
        raise BadRequest(f"message.{name}: expected text in UTF-8. Received: other bytes") from None
    return found


def _is_text(raw: msgspec.Raw) -> bool:
    try:
        bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True


def _object(values: dict[str, msgspec.Raw]) -> bytes:
    return msgspec.json.encode(values)
