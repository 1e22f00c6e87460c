"""The parts of an evaluation of images, each by cases that are known by construction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.artifacts.image_evaluation import UNCERTAIN, WRONG
from headrace.components.evaluate.images.network import pictures_of
from headrace.components.evaluate.images.occlusion import attention, overlay
from headrace.components.evaluate.images.operating import decided, operating_point
from headrace.components.evaluate.images.review import review
from headrace.components.evaluate.images.robustness import AMOUNTS, changed, robustness
from headrace.components.evaluate.images.shares import class_quality, share
from headrace.components.evaluate.images.tiles import MOST_EACH, MOST_KINDS, mistakes, shrunk
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.spec import RecallSpec
from tests.unit.components.evaluate.images.conftest import CLASSES, SIDE, SQUARE, picture

ABC = ("a", "b", "c")


def scores(truth, outputs, classes=ABC) -> Scores:
    return Scores("classification", np.asarray(truth), np.asarray(outputs, float), classes)


def random_scores(seed: int, count: int = 400) -> Scores:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, count)
    weights = np.exp(random.normal(size=(count, 3)) + 1.2 * np.eye(3)[truth])
    return scores(truth, weights / weights.sum(axis=1, keepdims=True))


def test_wilson_as_statsmodels_gives_it():
    # statsmodels.stats.proportion.proportion_confint(count, nobs, method="wilson")
    assert (share(8, 10).low, share(8, 10).high) == pytest.approx((0.490162, 0.943318), abs=1e-6)
    assert (share(0, 20).low, share(20, 20).high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="expected a share of one or more"):
        share(0, 0)


def test_precision_and_recall_of_each_class():
    found = class_quality(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ABC)
    assert [(c.recall and c.recall.value, c.precision and c.precision.value) for c in found] == [
        (2 / 3, 1.0),
        (1.0, 0.5),
        (None, None),
    ]


@pytest.mark.parametrize("at_least", [0.5, 0.9, 0.95, 1.0])
def test_the_threshold_is_the_greatest_that_reaches_the_recall_where_it_is_chosen(at_least):
    choose, measured = random_scores(0), random_scores(1)
    point = operating_point(RecallSpec(**{"class": "b", "at_least": at_least}), choose, measured, ("eval", "test"))
    own = choose.outputs[choose.truth == 1, 1]
    assert point.chosen.recall.value >= at_least
    assert (own > point.threshold).mean() < at_least  # any greater one finds too few
    said = decided(measured.outputs, 1, point.threshold) == 1
    assert point.reached.recall.count == (said & (measured.truth == 1)).sum()  # measured on the other split
    assert point.reached.flagged.count == said.sum() and point.reached.split == "test"
    assert point.usual.accuracy.count == (measured.outputs.argmax(axis=1) == measured.truth).sum()


def test_a_recall_that_is_a_whole_number_of_images_asks_for_no_more():
    choose = scores([0] * 20, np.column_stack([np.linspace(0.05, 1, 20), np.zeros(20), np.zeros(20)]))
    point = operating_point(RecallSpec(**{"class": "a", "at_least": 0.95}), choose, choose, ("eval", "eval"))
    assert point.chosen.recall.count == 19


def test_the_curve_falls_in_threshold_and_ends_where_all_are_found():
    measured = random_scores(3, 5000)
    point = operating_point(RecallSpec(**{"class": "a", "at_least": 0.9}), measured, measured, ("eval", "test"))
    thresholds, recall, precision = np.array(point.curve).T
    assert len(point.curve) == 200 and recall[-1] == 1.0
    assert (np.diff(thresholds) < 0).all() and (np.diff(recall) >= 0).all() and (precision > 0).any()
    for at, share_found, right in point.curve[::40]:
        said = measured.outputs[:, 0] >= at
        assert share_found == pytest.approx(said[measured.truth == 0].mean())
        assert right == pytest.approx((measured.truth == 0)[said].mean())


def test_the_curve_goes_down_to_the_threshold_where_that_is_lower_than_it_need_be():
    choose = scores([0, 0], [[0.9, 0.1, 0], [0.2, 0.8, 0]])
    measured = scores([0, 1, 1], [[0.8, 0.2, 0], [0.3, 0.7, 0], [0.1, 0.9, 0]])
    point = operating_point(RecallSpec(**{"class": "a", "at_least": 1}), choose, measured, ("eval", "test"))
    assert point.curve == ((0.8, 1.0, 1.0), (0.3, 1.0, 0.5)) and point.reached.precision.value == 0.5


def test_no_image_of_the_class_to_choose_on():
    choose = scores([1, 2], np.full((2, 3), 1 / 3))
    point = operating_point(RecallSpec(**{"class": "a", "at_least": 0.9}), choose, random_scores(0), ("eval", "test"))
    assert point.threshold is None and point.reached is None and point.usual.recall is not None


def test_without_the_class_the_most_probable_of_the_others_is_said():
    outputs = np.array([[0.5, 0.3, 0.2], [0.3, 0.2, 0.5]])
    assert decided(outputs, 0, 0.6).tolist() == [1, 2]
    assert decided(outputs, 0, 0.3).tolist() == [0, 0]


def test_the_review_list_in_order_with_groups_folded():
    outputs = [[0.9, 0.1, 0], [0.98, 0.02, 0], [0.4, 0.35, 0.25], [0.2, 0.8, 0], [0.98, 0.02, 0], [0.52, 0.42, 0.06]]
    found = review(
        scores([1, 1, 0, 1, 1, 0], outputs), np.arange(10, 16), list("uvwxyz"), ["g", "h", "i", "j", "h", "k"], most=2
    )
    assert [(item.path, item.row, item.reason, item.copies) for item in found] == [
        ("v", 11, WRONG, 1),
        ("u", 10, WRONG, 0),
        ("w", 12, UNCERTAIN, 0),
        ("z", 15, UNCERTAIN, 0),
    ]
    assert (found[0].label, found[0].predicted, found[0].probability) == ("b", "a", 0.98)


def test_mistakes_by_number_and_surest_first():
    outputs = [[0.6, 0.4, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0.3, 0.3, 0.4]]
    first, second = mistakes(scores([1, 1, 1, 1], outputs))
    assert (first.actual, first.predicted, first.count, first.places) == (1, 0, 2, (1, 0))
    assert (second.predicted, second.count) == (2, 1)
    many = mistakes(random_scores(0, 3000))
    assert len(many) == 6 <= MOST_KINDS and all(len(item.places) == MOST_EACH for item in many)


def test_attention_lies_on_the_square_and_nothing_speaks_for_what_is_absent(network):
    pixels = np.full((SIDE, SIDE, 3), 100, np.uint8)
    pixels[4 : 4 + SQUARE, 28 : 28 + SQUARE, 0] = 150  # red, at the top right
    red, green = attention(network, pixels, [CLASSES.index("red"), CLASSES.index("green")])
    top, left = np.unravel_index(red.heat.argmax(), red.heat.shape)
    assert 4 <= top < 4 + SQUARE and 28 <= left < 28 + SQUARE
    inside = red.heat[4 : 4 + SQUARE, 28 : 28 + SQUARE].mean()
    assert red.heat.shape == (SIDE, SIDE) and red.heat.max() == 1 and red.least < red.whole - 0.05
    assert inside > 5 * red.heat[30:, :20].mean()
    assert not green.heat.any() and green.least <= green.whole < 0.1  # the square speaks against it
    drawn = overlay(np.full((96, 120, 3), 50, np.uint8), red.heat)
    assert drawn.shape == (96, 120, 3) and drawn[24, 90, 0] > 150 and drawn[90, 5].tolist() == [50, 50, 50]


def test_pictures_are_changed_as_said():
    pictures = [picture(np.random.default_rng(i), "red") for i in range(2)]
    darker = changed(pictures, "brightness", 0.5)
    assert darker.mean() == pytest.approx(np.stack(pictures).mean() / 2, abs=0.5)
    assert np.abs(np.diff(changed(pictures, "blur", 2.0).astype(int), axis=1)).mean() < 2
    left, right = changed([pictures[0]] * 2, "rotation", 20.0)
    assert left.shape == pictures[0].shape and (left != right).any()  # every other one to the other side
    assert min(left.min(), right.min()) > 60  # no black corners


def test_a_model_of_brightness_suffers_from_it(network, data):
    pictures = [p for _, p in pictures_of(data, "test", "image", network.seen, range(20))]
    truth = np.array([i % 3 for i in range(20)])

    def scored(outputs):
        return scores(truth, outputs, CLASSES)

    found = robustness(network, pictures, scored, ("red", 0.5))
    assert [item.change for item in found] == ["none"] + [c for c, amounts in AMOUNTS.items() for _ in amounts]
    assert found[0].accuracy.value == 1.0 and found[0].changed.count == 0 and found[0].recall.of == 6
    darkness = replace(network, answer=lambda p: np.eye(3)[np.where(p.mean(axis=(1, 2, 3)) < 80, 0, truth[: len(p)])])
    by_amount = {(item.change, item.amount): item for item in robustness(darkness, pictures, scored)}
    assert by_amount["brightness", 0.6].changed.value > 0.5 > by_amount["brightness", 1.2].changed.value == 0
    assert robustness(network, [], scored) == ()


def test_answers_come_in_the_order_of_the_rows_whatever_their_size(network, data):
    outputs = network.of_split(data, "test")
    alone = [network.of_one_size(p[None])[0] for _, p in pictures_of(data, "test", "image", lambda pixels: pixels)]
    np.testing.assert_allclose(outputs, alone, atol=1e-6)


def test_some_pictures_are_read_by_their_rows(data):
    found = dict(pictures_of(data, "test", "image", lambda pixels: pixels.shape, [5, 89, 6]))
    assert found == {5: (64, 40, 3), 6: (SIDE, SIDE, 3), 89: (SIDE, SIDE, 3)}


def test_tiles_are_small_and_tiny_pictures_are_enlarged():
    assert shrunk(np.zeros((900, 600, 3), np.uint8)).shape == (224, 149, 3)
    assert shrunk(np.zeros((8, 8, 3), np.uint8)).shape == (96, 96, 3)
