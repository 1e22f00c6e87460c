"""Texts as bags of words: counts, or TF-IDF, of the n-grams that the train split has.

A text becomes tokens by ONNX Runtime's own operators: lower case, then maximal runs of letters, digits and underscores,
of two characters at least (scikit-learn's default pattern), or single characters. The vocabulary is counted on what
those operators give, so that there is one definition of a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.trainer.expressions.arrow_texts import WORD
from headrace.trainer.features.encoding import Column
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.text_graph import lower, words_of

_TOKENS = {"word": (WORD + "+", 2), "char": ("(?s:.)", 1)}  # pattern, fewest characters
NGRAM_SIGN = " "  # between the tokens of an n-gram, in names


@dataclass(frozen=True)
class Words:
    """A column per n-gram.

    Attributes:
        analyzer: `word`, or `char`.
        weight: `tfidf`: count * idf, each text's vector then of length 1; `count`; `binary`: 1 where it occurs.
        ngrams: the tokens of each, the shorter ones first.
        idf: ln((1 + texts) / (1 + texts with it)) + 1, as scikit-learn has it; empty where it is not used.
    """

    analyzer: str
    weight: str
    ngrams: tuple[tuple[str, ...], ...]
    idf: tuple[float, ...] = ()

    def emit(self, graph: FeatureGraph, text: str) -> str:
        """Strings [N, 1] to float32 [N, m]."""
        tokens = tokens_of(graph, text, self.analyzer)
        lengths = [len(ngram) for ngram in self.ngrams]
        starts: list[int] = []
        pool: list[str] = []
        for length in range(1, max(lengths) + 1):
            starts.append(len(pool))
            pool += [token for ngram in self.ngrams if len(ngram) == length for token in ngram]
        weights: dict[str, Any] = {"weights": list(self.idf)} if self.weight == "tfidf" else {}
        counts = graph.add(
            "TfIdfVectorizer",
            tokens,
            mode={"tfidf": "TFIDF", "count": "TF", "binary": "IDF"}[self.weight],  # IDF with no weights: 1 each
            min_gram_length=min(lengths),
            max_gram_length=max(lengths),
            max_skip_count=0,
            ngram_counts=starts,
            ngram_indexes=list(range(len(self.ngrams))),
            pool_strings=pool,
            **weights,
        )
        return _of_length_one(graph, counts) if self.weight == "tfidf" else counts

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`words(last_ticket)=refund`."""
        (column,) = before
        join = NGRAM_SIGN if self.analyzer == "word" else ""
        words = [join.join(ngram) for ngram in self.ngrams]
        return [
            Column(column.sources, f"words({column.name})={word}", f"words({column.made})={word}") for word in words
        ]


def tokens_of(graph: FeatureGraph, text: str, analyzer: str) -> str:
    """Strings [N, 1] to the tokens of each, string [N, most]: shorter rows end with empty ones."""
    pattern, least = _TOKENS[analyzer]
    tokens = words_of(graph, lower(graph, text), least, pattern)
    # Where no row has a token, there are no columns at all, which the vectorizer refuses: one is put beside them.
    nothing = graph.constant("", np.object_)
    empty = graph.add("Where", graph.add("Equal", text, nothing), nothing, nothing)
    return graph.add("Concat", tokens, empty, axis=1)


def _of_length_one(graph: FeatureGraph, counts: str) -> str:
    squares = graph.add("ReduceSum", graph.add("Mul", counts, counts), graph.integers([1]), keepdims=1)
    length = graph.add("Sqrt", squares)
    none = graph.add("Equal", length, graph.constant(0.0, np.float32))
    return graph.add("Div", counts, graph.add("Where", none, graph.constant(1.0, np.float32), length))


def fit_words(
    tokens: Iterator[np.ndarray], ngrams: tuple[int, int], most: int, weight: str, at_least: int, analyzer: str
) -> Words | None:
    """Counts the n-grams of the train split's texts and keeps the commonest.

    Args:
        tokens: of the texts, batch by batch, as `tokens_of` gives them.
        ngrams: the fewest and the most tokens of an n-gram.
        most: how many n-grams are kept: those in most texts, of equals the first in the alphabet.
        weight, analyzer: as in `Words`.
        at_least: in how many texts an n-gram must occur.

    Returns:
        None where no n-gram is common enough.
    """
    rows, names = _flatten(tokens)
    documents = int(rows[0, -1]) + 1 if rows.size else 0
    found: list[tuple[int, tuple[str, ...]]] = []
    for length in range(ngrams[0], ngrams[1] + 1):
        found += _frequent(rows, names, length, at_least)
    kept = sorted(found, key=lambda each: (-each[0], each[1]))[:most]
    kept.sort(key=lambda each: (len(each[1]), each[1]))
    if not kept:
        return None
    idf = tuple(float(np.log((1 + documents) / (1 + count)) + 1) for count, _ in kept) if weight == "tfidf" else ()
    return Words(analyzer, weight, tuple(ngram for _, ngram in kept), idf)


def _flatten(tokens: Iterator[np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """All tokens behind each other: their texts' numbers and their own numbers (2, tokens); and the tokens' names.

    A text without tokens has one without a name, number 0, which no n-gram contains.
    """
    names: dict[str, int] = {"": 0}
    texts, numbers, before = [], [], 0
    for batch in tokens:
        coded = pa.array(batch.ravel(), pa.string()).dictionary_encode()
        own = np.array([names.setdefault(name, len(names)) for name in coded.dictionary.to_pylist()], np.int64)
        codes = own[coded.indices.to_numpy()].reshape(batch.shape) if len(own) else np.zeros(batch.shape, np.int64)
        codes = np.pad(codes, ((0, 0), (0, 1)))[:, : max(1, batch.shape[1])]
        wanted = codes > 0
        wanted[:, 0] = True
        text, place = np.nonzero(wanted)
        texts.append(text + before)
        numbers.append(codes[text, place])
        before += len(batch)
    if not texts:
        return np.empty((2, 0), np.int64), list(names)
    return np.stack([np.concatenate(texts), np.concatenate(numbers)]), list(names)


def _frequent(rows: np.ndarray, names: list[str], length: int, at_least: int) -> list[tuple[int, tuple[str, ...]]]:
    """The n-grams of one length that are in enough texts: (texts, tokens)."""
    texts, numbers = rows
    count = len(numbers) - length + 1
    if count <= 0:
        return []
    keys = numbers[:count]
    whole = numbers[:count] > 0
    for step in range(1, length):
        following = numbers[step : step + count]
        whole &= (following > 0) & (texts[step : step + count] == texts[:count])
        # Numbers of what occurs, so that they stay small however long the n-grams are.
        keys = np.unique(keys, return_inverse=True)[1] * len(names) + following
    places = np.flatnonzero(whole)
    if not len(places):
        return []
    _, first, inverse = np.unique(keys[places], return_index=True, return_inverse=True)
    pairs = np.unique(texts[places] * len(first) + inverse)  # each text once
    counts = np.bincount(pairs % len(first), minlength=len(first))
    starts = places[first]
    return [
        (int(counts[key]), tuple(names[numbers[starts[key] + step]] for step in range(length)))
        for key in np.flatnonzero(counts >= at_least)
    ]
