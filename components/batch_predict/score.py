"""A chunk of rows to the rows of the output, and to those that are rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.signature import Signature
from headrace.artifacts.written import written_types
from headrace.components.batch_predict.job import MODEL_COLUMNS, ROW, Job, columns_of, trained_with
from headrace.components.batch_predict.kept import as_type, kept_columns
from headrace.components.batch_predict.rows import Chunk, Unreadable
from headrace.components.batch_predict.values import carried
from headrace.serving.batch.answers import answer_columns
from headrace.serving.batch.model import ColumnModel, open_model

REJECTS = pa.schema(
    [
        ("row", pa.int64()),  # among all rows of all sources, from 1
        ("source", pa.string()),
        ("place", pa.string()),  # in the source
        ("key", pa.string()),  # the value of the job's key, where there is one
        ("reason", pa.string()),  # in the grammar of errors
        ("text", pa.string()),  # the beginning of a row that could not be read
    ]
)


@dataclass(frozen=True)
class Done:
    """What became of a chunk."""

    table: pa.RecordBatch  # rows of the output
    rejects: pa.RecordBatch
    unseen: npt.NDArray[np.int64]  # of each input, the values that training did not know
    infinite: npt.NDArray[np.int64]  # of each input, the numbers that count as missing


def needed_columns(job: Job, signature: Signature) -> list[str]:
    """The source's columns that are read, each once."""
    return list(dict.fromkeys([*(item.name for item in signature.inputs), *kept_columns(job)]))


def category_columns(signature: Signature) -> list[str]:
    """Those of them whose values repeat, so that they are read as dictionaries."""
    return [item.name for item in signature.inputs if item.type == "category"]


class RowScorer:
    """A loaded model with what the output needs of each row. Safe to call from several threads."""

    def __init__(self, job: Job, bundle: Bundle, model: ColumnModel | None = None) -> None:
        """Loads the model.

        Raises:
            HeadraceError: ONNX Runtime refuses it, or two columns of the output had one name.
        """
        self._job, self._bundle = job, bundle
        self._inputs = bundle.signature.inputs
        self._model = model or open_model(bundle)
        self._columns = columns_of(job, bundle.signature)
        trained = trained_with(bundle)
        decimal = job.reading.decimal or trained.get("decimal") or "."
        pointed = () if job.reading.decimal else trained.get("pointed", ())
        self._decimals = {item.name: "." if item.name in pointed else decimal for item in self._inputs}
        self._types = written_types(trained.get("types"))
        self._about = dict(zip(MODEL_COLUMNS, (bundle.name, bundle.version, bundle.digest), strict=True))

    def score(self, chunk: Chunk, kinds: Mapping[str, pa.DataType] | None = None) -> Done:
        """Answers every row that can be answered; a row has one output or one reject.

        Args:
            chunk: some rows.
            kinds: the types of the key and of the kept columns in the output (`kept_types`), where they are not those
                of the chunk.

        Raises:
            HeadraceError: one of them has a value that its type in the output has not.
        """
        rows = chunk.batch.num_rows
        wrong: dict[int, str] = {}
        columns: dict[str, Any] = {}
        infinite = np.zeros(len(self._inputs), np.int64)
        for place, item in enumerate(self._inputs):
            found = carried(item, chunk.batch.column(item.name), self._decimals[item.name], self._types.get(item.name))
            columns[item.name], infinite[place] = found.values, found.infinite
            wrong = {**found.wrong, **wrong}  # a row's first column that is wrong is its reason
        if self._job.key:
            key = chunk.batch.column(self._job.key)
            for missing in np.flatnonzero(key.is_null().to_numpy(zero_copy_only=False)) if key.null_count else ():
                wrong.setdefault(int(missing), f"expected a value in `{self._job.key}`, the key. Received: null")
        answered = self._model.answer(columns, rows)
        wrong = {**answered.refused, **wrong}
        fine = np.ones(rows, bool)
        fine[list(wrong)] = False
        table = self._table(chunk, answered.outputs, None if fine.all() else fine, kinds or {})
        return Done(table, self._rejects(chunk, wrong), answered.unseen, infinite)

    def _table(
        self, chunk: Chunk, outputs: Any, fine: npt.NDArray[np.bool_] | None, kinds: Mapping[str, pa.DataType]
    ) -> pa.RecordBatch:
        rows = chunk.rows
        if fine is not None:
            rows, outputs = rows[fine], outputs[fine]
        count = len(rows)
        columns: dict[str, Any] = {} if self._job.key else {ROW: pa.array(rows)}
        for name in kept_columns(self._job):
            column = as_type(chunk.batch.column(name), kinds.get(name), chunk.source.opened.name, name)
            columns[name] = column if fine is None else column.filter(pa.array(fine))
        columns |= answer_columns(self._bundle.signature, outputs)
        for name, value in self._about.items():  # of a bundle that is in no registry there is no version
            places = pa.array(np.zeros(count, np.int32)) if value is not None else pa.nulls(count, pa.int32())
            columns[name] = pa.DictionaryArray.from_arrays(places, pa.array([value or ""], pa.string()))
        return pa.record_batch([columns[name] for name in self._columns], names=self._columns)

    def _rejects(self, chunk: Chunk, wrong: dict[int, str]) -> pa.RecordBatch:
        found = [_unreadable(one) for one in chunk.unreadable]
        for place in sorted(wrong):
            row = int(chunk.rows[place])
            key = chunk.batch.column(self._job.key)[place].as_py() if self._job.key else None
            found.append(
                {
                    "row": row,
                    "source": chunk.source.opened.name,
                    "place": f"row {row - chunk.first}",
                    "key": None if key is None else str(key),
                    "reason": wrong[place],
                    "text": None,
                }
            )
        return pa.RecordBatch.from_pylist(sorted(found, key=lambda one: one["row"]), schema=REJECTS)


def _unreadable(one: Unreadable) -> dict[str, Any]:
    rejection = one.rejection
    return {
        "row": one.row,
        "source": one.source,
        "place": rejection.place,
        "key": None,
        "reason": rejection.why,
        "text": rejection.text or None,
    }
