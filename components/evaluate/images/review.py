"""Which labels to look at again, and which images to label next.

Where a model is sure and the label says otherwise, the label is often what is wrong (Northcutt et al. 2021, "Confident
learning"); where it cannot tell two classes apart, one more label teaches it most (margin sampling, Scheffer et al.
2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headrace.artifacts.image_evaluation import UNCERTAIN, WRONG, Review
from headrace.components.evaluate.scores import Array, Floats, Scores


def review(
    scores: Scores,
    rows: Array,
    paths: Sequence[str],
    groups: Sequence[str] | None = None,
    truths: Sequence[str] | None = None,
    most: int = 50,
) -> tuple[Review, ...]:
    """The list, at most `most` images for each reason: the confidently wrong, the surest first; the uncertain.

    Of copies and near-duplicates, which share a group, the first is listed and the others are counted.

    Args:
        scores: against the labels.
        rows: (N,) of the split.
        paths: of the N images.
        groups: of the N images; None where they are not known.
        truths: likewise.
        most: images for each reason.
    """
    predicted, outputs = scores.predicted, scores.outputs
    everyone = np.arange(len(scores))
    said, labelled = outputs[everyone, predicted], outputs[everyone, scores.truth]
    wrong = predicted != scores.truth
    order_wrong = [place for place in np.argsort(labelled - said, kind="stable") if wrong[place]]
    chosen = _first_of_groups(order_wrong, groups, most)
    listed = {groups[place] if groups else place for place in chosen}
    margin = _margin(outputs)
    others = [p for p in np.argsort(margin, kind="stable") if (groups[p] if groups else p) not in listed]
    unsure = _first_of_groups(others, groups, most)
    return tuple(
        Review(
            row=int(rows[place]),
            path=paths[place],
            label=scores.classes[scores.truth[place]],
            predicted=scores.classes[predicted[place]],
            probability=float(said[place]),
            label_probability=float(labelled[place]),
            reason=reason,
            copies=copies,
            truth=truths[place] if truths else None,
        )
        for reason, found in ((WRONG, chosen), (UNCERTAIN, unsure))
        for place, copies in found.items()
    )


def _margin(outputs: Floats) -> Floats:
    """(N,) by how much the most probable class is ahead of the second."""
    top = np.sort(outputs, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def _first_of_groups(order: Sequence[int], groups: Sequence[str] | None, most: int) -> dict[int, int]:
    """The first place of each group, in order, with the number of those that it stands for."""
    first: dict[object, int] = {}
    copies: dict[int, int] = {}
    for place in order:
        name: object = groups[place] if groups else place
        if name in first:
            copies[first[name]] += 1
        elif len(first) < most:
            first[name] = place
            copies[place] = 0
    return copies
