"""ONNX's operations on strings, and ONNX Runtime's own, as TensorFlow's."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import TensorProto, helper

from headrace.artifacts.raw_inputs import open_graph
from headrace.trainer.graph import IR_VERSION, OPSET
from headrace.trainer.saved_model.numbers import Attributes, Made

_MARK = "\U0010fffd"  # a private character of the last plane, between what is a token and what is none
_LETTERS = 0x20000  # characters that may have another case: those of the first two planes
_NEVER = "\0"  # joins the tokens of an n-gram


class _Looked:
    """A function with tables."""

    def __init__(self, function: Callable[..., Any], *tables: Any) -> None:
        self.function, self.tables = function, list(tables)

    def __call__(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def _table(keys: list[str], values: list[Any], dtype: Any, default: Any) -> Any:
    initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(keys, tf.string), tf.constant(values, dtype))
    return tf.lookup.StaticHashTable(initializer, tf.constant(default, dtype))


def _label_encoder(attributes: Attributes) -> Made:
    table = _table(attributes["keys_strings"], attributes["values_floats"], tf.float32, attributes["default_float"])
    return _Looked(table.lookup, table)


def _string_concat(_: Attributes) -> Made:
    return lambda a, b: tf.raw_ops.Add(x=tf.convert_to_tensor(a), y=tf.convert_to_tensor(b))


def _string_split(attributes: Attributes) -> Made:
    def split(texts: Any) -> tuple[Any, Any]:
        pieces = tf.strings.split(texts, attributes["delimiter"])
        return pieces.to_tensor(""), tf.cast(pieces.row_lengths(axis=texts.shape.rank), tf.int64)

    return split


def _regex(attributes: Attributes) -> Made:
    return lambda texts: tf.strings.regex_full_match(texts, attributes["pattern"])


def _normalizer(attributes: Attributes) -> Made:
    change = attributes.get("case_change_action", "NONE")
    if change == "NONE":
        return lambda texts: texts
    others = _other_case(change, attributes.get("locale", "en_US"))

    def changed(texts: Any) -> Any:
        letters = tf.strings.unicode_decode(texts, "UTF-8")
        flat = letters.flat_values
        mapped = tf.gather(others, tf.minimum(flat, len(others) - 1))
        letters = letters.with_flat_values(tf.where(flat < len(others), mapped, flat))
        return tf.strings.unicode_encode(letters, "UTF-8")

    return changed


@lru_cache
def _other_case(change: str, locale: str) -> np.ndarray:
    """Each character's other case, int32, as ONNX Runtime has it: its own answers, letter by letter."""
    letters = [chr(code) for code in range(1, _LETTERS) if not 0xD800 <= code < 0xE000]
    node = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action=change, locale=locale)
    graph = helper.make_graph(
        [node],
        "letters",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, ["N"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    (answers,) = open_graph(model.SerializeToString()).run(None, {"x": np.array(letters, object)})
    found = np.arange(_LETTERS, dtype=np.int32)
    for letter, answer in zip(letters, answers, strict=True):
        if len(answer) == 1:
            found[ord(letter)] = ord(answer)
    return found


def _tokenizer(attributes: Attributes) -> Made:
    """Tokens are put between marks, so that every other piece between two marks is one."""
    shortest = attributes["mincharnum"]

    def tokens(texts: Any) -> Any:
        marked = tf.strings.regex_replace(texts, f"({attributes['tokenexp']})", rf"{_MARK}\1{_MARK}")
        pieces = tf.strings.split(marked, _MARK)
        odd = tf.ragged.range(pieces.row_lengths()) % 2 == 1
        long = tf.ragged.map_flat_values(lambda each: tf.strings.length(each, "UTF8_CHAR") >= shortest, pieces)
        return tf.ragged.boolean_mask(pieces, odd & long).to_tensor(attributes.get("pad_value", ""))

    return tokens


def _bag_of_words(attributes: Attributes) -> Made:
    """Counts the n-grams of a pool: TF the number, IDF whether there is one, times the weights where there are."""
    pool, starts = attributes["pool_strings"], [*attributes["ngram_counts"], len(attributes["pool_strings"])]
    columns = attributes["ngram_indexes"]
    width, mode = max(columns) + 1, attributes["mode"]
    keys, sizes = [], []
    for size in range(1, len(starts)):
        part = pool[starts[size - 1] : starts[size]]
        sizes += [size] if part and size >= attributes["min_gram_length"] else []
        keys += [_NEVER.join(part[place : place + size]) for place in range(0, len(part), size)]
    table = _table(keys, columns, tf.int64, -1)
    weights = np.ones(width, np.float32)
    if mode != "TF" and attributes.get("weights"):
        weights[columns] = attributes["weights"]

    def counted(tokens: Any) -> Any:
        found = [table.lookup(tf.strings.ngrams(tokens, size, separator=_NEVER)) for size in sizes]
        places = tf.concat(found, axis=1) + 1
        counts = tf.math.bincount(
            tf.cast(places, tf.int32), minlength=width + 1, maxlength=width + 1, dtype=tf.float32, axis=-1
        )[:, 1:]
        counts = tf.ensure_shape(counts, [None, width])
        return (tf.minimum(counts, 1.0) if mode == "IDF" else counts) * weights

    return _Looked(counted, table)


def _murmur(attributes: Attributes) -> Made:
    """MurmurHash3, 32 bits (Austin Appleby, public domain), of each string's bytes."""
    seed = np.uint32(attributes.get("seed", 0))

    def rotated(value: Any, bits: int) -> Any:
        left = tf.bitwise.left_shift(value, tf.constant(bits, tf.uint32))
        return tf.bitwise.bitwise_or(left, tf.bitwise.right_shift(value, tf.constant(32 - bits, tf.uint32)))

    def word(value: Any) -> Any:
        return rotated(value * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)

    def shifted(value: Any, bits: int) -> Any:
        return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, tf.constant(bits, tf.uint32)))

    def hashed(texts: Any) -> Any:
        flat = tf.reshape(texts, [-1])
        length = tf.strings.length(flat)
        most = 4 * (tf.reduce_max(tf.concat([length, [0]], 0)) // 4 + 1)
        signed = tf.io.decode_raw(flat, tf.int32, fixed_length=most)
        words = tf.cast(tf.bitcast(signed, tf.uint32), tf.uint32)
        value = tf.fill(tf.shape(flat), tf.constant(seed, tf.uint32))
        for place in tf.range(most // 4):
            mixed = tf.bitwise.bitwise_xor(value, word(words[:, place]))
            whole = rotated(mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
            value = tf.where(4 * place + 4 <= length, whole, tf.where(4 * place < length, mixed, value))
        value = tf.bitwise.bitwise_xor(value, tf.cast(length, tf.uint32))
        value = shifted(value, 16) * np.uint32(0x85EBCA6B)
        value = shifted(value, 13) * np.uint32(0xC2B2AE35)
        return tf.reshape(shifted(value, 16), tf.shape(texts))

    return hashed


TEXTS: dict[str, Callable[[Attributes], Made]] = {
    "LabelEncoder": _label_encoder, "StringConcat": _string_concat, "StringSplit": _string_split,
    "RegexFullMatch": _regex, "StringNormalizer": _normalizer, "Tokenizer": _tokenizer,
    "TfIdfVectorizer": _bag_of_words, "MurmurHash3": _murmur,
}  # fmt: skip
