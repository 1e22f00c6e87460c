"""Raw columns to the model's matrix, column by column: the rules of `artifacts/signature.py`, as `serving/encode.py`.

The server encodes a few rows cell by cell; here a column of many rows is encoded at once, to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.signature import Input, Signature, text_inputs

_MICROSECONDS_A_DAY = 86_400_000_000.0

Column = Any  # pyarrow.Array, whose type parameter depends on the data


class Cells(NamedTuple):
    """Rows as `matrix.onnx` takes them."""

    matrix: npt.NDArray[np.float64]  # [N, F]
    texts: npt.NDArray[np.object_] | None  # [N, T] strings, of a model that has inputs of texts
    unseen: npt.NDArray[np.int64]  # [F]: of each input, the values that training did not know


class ColumnEncoder:
    """Encodes columns of one type each; see `Carried` for which."""

    def __init__(self, signature: Signature) -> None:
        self._inputs = signature.inputs
        self._texts = text_inputs(signature.inputs)
        self._vocabularies = {
            place: pa.array(item.vocabulary, pa.string())
            for place, item in enumerate(signature.inputs)
            if item.type == "category"
        }

    def encode(self, columns: Mapping[str, Column], rows: int) -> Cells:
        """Encodes rows.

        Args:
            columns: by the inputs' names, each of `rows` values of the type that carries it: float64 of a number or a
                boolean (null or NaN where missing), string or dictionary of a category, string of a text, date32 or
                timestamp[us] of a date.
            rows: how many.
        """
        matrix = np.empty((rows, len(self._inputs)), np.float64)
        unseen = np.zeros(len(self._inputs), np.int64)
        for place, item in enumerate(self._inputs):
            column = columns[item.name]
            if item.type == "category":
                codes = _codes(column, self._vocabularies[place])
                unseen[place] = np.count_nonzero(codes == 0.0)
                matrix[:, place] = codes
            elif item.type == "text":
                lengths = pc.fill_null(pc.binary_length(column), 0)
                matrix[:, place] = np.where(np.asarray(lengths.to_numpy(zero_copy_only=False)) > 0, 1.0, np.nan)
            else:
                matrix[:, place] = _days(column, item) if item.type == "date" else _numbers(column, item)
        return Cells(matrix, self._strings(columns, rows), unseen)

    def _strings(self, columns: Mapping[str, Column], rows: int) -> npt.NDArray[np.object_] | None:
        if not self._texts:
            return None
        texts = np.empty((rows, len(self._texts)), object)
        for place, which in enumerate(self._texts):
            column = columns[self._inputs[which].name]
            texts[:, place] = pc.fill_null(column, "").to_numpy(zero_copy_only=False)
        return texts


def _numbers(column: Column, item: Input) -> npt.NDArray[np.float64]:
    values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    return values - item.offset if item.offset != 0 else values


def _days(column: Column, item: Input) -> npt.NDArray[np.float64]:
    """Days since 1970, of microseconds that are an exact integer: every encoder agrees to the last bit."""
    if pa.types.is_date32(column.type):
        whole = np.asarray(column.cast(pa.int32()).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        return whole - item.offset
    moments = column.cast(pa.int64())
    missing = None if column.null_count == 0 else np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    found = np.asarray(pc.fill_null(moments, 0).to_numpy(zero_copy_only=False)) / _MICROSECONDS_A_DAY - item.offset
    if missing is not None:
        found[missing] = np.nan
    return found


def _codes(column: Column, vocabulary: Column) -> npt.NDArray[np.float64]:
    """1 + the place in the vocabulary, 0.0 where a value is not in it, NaN where it is missing or empty."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = column.dictionary.cast(pa.string())
    # One more code at the end, which null takes.
    codes = np.full(len(values) + 1, np.nan)
    codes[:-1] = np.asarray(pc.fill_null(pc.index_in(values, vocabulary), -1).to_numpy(zero_copy_only=False)) + 1.0
    codes[:-1][np.asarray(pc.fill_null(pc.equal(values, ""), True).to_numpy(zero_copy_only=False), bool)] = np.nan
    indices = pc.fill_null(column.indices.cast(pa.int64()), len(values))
    found: npt.NDArray[np.float64] = codes[np.asarray(indices.to_numpy(zero_copy_only=False))]
    return found
