"""Linear models by scikit-learn: logistic regression for classes, least squares for numbers, under a penalty.

Features are put on one scale inside (mean 0, deviation 1; sparse ones are only divided, and words left as they are),
so that one penalty means the same for all, and what is missing is the mean. All of it is folded into one matrix: the
graph is `features * W + b`, in float64, since a feature may be far outside of what training has seen.

How strong the penalty is, the eval split decides: models are fitted from the strongest to the weakest, each from where
the last one ended, until the eval split has not improved for a while (the path of Friedman, Hastie and Tibshirani
2010, "Regularization Paths for Generalized Linear Models via Coordinate Descent").
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnx
import scipy.sparse
from onnx import TensorProto, helper

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.graph import FEATURES, Graph
from headrace.trainer.loss import loss, metric_name
from headrace.trainer.model import Features, Job, Rows
from headrace.trainer.parameters import LinearParameters
from headrace.trainer.threads import one_blas_thread

PATH = tuple(float(f"{10 ** -(step / 2):.3g}") for step in range(13))  # penalties, from 1 to 0.000001
PATIENCE = 3  # penalties without improvement on the eval split that end the path
EQUAL = 1e-4  # share by which losses may differ and still be as good as each other
_MOST = float(np.finfo(np.float32).max)
_NEVER = -50.0  # the bias of a class that no row of train is of
_MOST_GRAM = 2_000  # features up to which their products are computed once for all penalties


@dataclass(frozen=True)
class Linear:
    """A fitted linear model (a `headrace.trainer.model.Model`).

    Attributes:
        weights: of the features as they come, (W, K): K is 1, or the classes where they are more than two.
        bias: (K,).
        means: of the features in training, (W,): what counts where one is missing.
        spread: their deviations, (W,).
        classes: how many; 0 for a regression.
    """

    weights: np.ndarray = field(repr=False)
    bias: np.ndarray
    means: np.ndarray = field(repr=False)
    spread: np.ndarray = field(repr=False)
    classes: int
    metric: str
    curve: dict[str, list[float]] = field(repr=False)
    rounds: int
    parameters: dict[str, Any]
    kind: str = "linear"
    tolerance: float = 1e-6  # both are float64; the graph's answer is float32

    def predict(self, features: Features) -> np.ndarray:
        """The model's answer in float64."""
        filled = _bounded(_filled(features, self.means))
        with one_blas_thread():
            scores = np.asarray(filled @ self.weights) + self.bias
        return answers(scores, self.classes)

    def graph(self, output: str) -> onnx.ModelProto:
        """One product of matrices, in float64."""
        return linear_graph(self.weights, self.bias, self.means, self.classes, output)

    def importance(self) -> np.ndarray:
        """Each feature's share of the coefficients, in deviations of the feature; of several classes, their mean."""
        size = np.abs(self.weights * self.spread[:, None]).mean(axis=1)
        return np.asarray(size / size.sum() if size.sum() > 0 else size)

    def thresholds(self) -> dict[int, np.ndarray]:
        """None: the answer jumps nowhere."""
        return {}


def answers(scores: np.ndarray, classes: int) -> np.ndarray:
    """Scores (rows, K) to probabilities (rows, classes), or values (rows, 1)."""
    if classes == 0:
        return scores
    if classes == 2:
        positive = np.exp(-np.logaddexp(0, -scores))
        return np.column_stack([1 - positive, positive])
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def linear_graph(
    weights: np.ndarray, bias: np.ndarray, means: np.ndarray, classes: int, output: str
) -> onnx.ModelProto:
    """`features` float32 [N, W] -> `output` float32 [N, classes] or [N, 1]."""
    graph = Graph("linear/")
    wide = graph.to_double(FEATURES)
    filled = graph.add("Where", graph.add("IsNaN", wide), graph.constant(means[None], np.float64), wide)
    filled = graph.add("Clip", filled, graph.constant(-_MOST, np.float64), graph.constant(_MOST, np.float64))
    scores = graph.add("MatMul", filled, graph.constant(weights, np.float64))
    scores = graph.add("Add", scores, graph.constant(bias[None], np.float64))
    if classes == 2:
        positive = graph.add("Sigmoid", scores)
        one = graph.constant(1.0, np.float64)
        scores = graph.add("Concat", graph.add("Sub", one, positive), positive, axis=1)
    elif classes:
        scores = graph.add("Softmax", scores, axis=1)
    graph.nodes.append(helper.make_node("Cast", [scores], [output], to=TensorProto.FLOAT))
    return graph.model(
        "linear",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", len(weights)])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", max(classes, 1)])],
    )


def fit(job: Job) -> Linear:
    """Fits along the path of penalties and keeps what does best on the eval split; the same on any number of threads.

    Raises:
        HeadraceError: of several classes, the train split has rows of one alone.
    """
    with one_blas_thread():
        return _fit(job)


def _fit(job: Job) -> Linear:
    parameters: LinearParameters = job.parameters
    scale = _Scale.of(job.train)
    train, evaluation = scale.apply(job.train.features), scale.apply(job.evaluation.features)
    metric = metric_name(job.classes)
    path = (parameters.alpha,) if parameters.alpha is not None else PATH
    curve: dict[str, list[float]] = {"train": [], "eval": []}
    found: list[Fit] = []
    for coefficients, intercept in _fits(job, train, path):
        found.append((coefficients.copy(), intercept.copy()))
        for split, matrix, rows in (("train", train, job.train), ("eval", evaluation, job.evaluation)):
            answer = answers(np.asarray(matrix @ coefficients) + intercept, job.classes)
            curve[split].append(loss(answer, rows.labels, rows.weights, job.classes))
        if job.on_round is not None:
            job.on_round(len(found), curve["eval"][-1])
        if len(found) - 1 - int(np.argmin(curve["eval"])) >= PATIENCE:
            break
    kept = _kept(curve["eval"])
    weights, bias = scale.fold(*found[kept])
    settings = {**asdict(parameters), "alpha": path[kept]}
    return Linear(weights, bias, scale.means, scale.spread, job.classes, metric, curve, kept + 1, settings)


def _kept(losses: list[float]) -> int:
    """The strongest penalty that is as good as the best one, but for what is noise anyway."""
    return next(place for place, value in enumerate(losses) if value <= min(losses) * (1 + EQUAL))


@dataclass(frozen=True)
class _Scale:
    """What is subtracted from each feature, and what it is divided by; sparse ones are not shifted."""

    means: np.ndarray
    spread: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, rows: Rows) -> _Scale:
        features, weights = rows.features, rows.weights
        weights = np.ones(features.shape[0]) if weights is None else weights
        if scipy.sparse.issparse(features):
            means, variance = _sparse_moments(features, weights)
            # Words and indicators have a scale of their own: dividing by their deviation would favour the rarest.
            variance = np.where(abs(features).max(axis=0).toarray().ravel() <= 1, 1.0, variance)
        else:
            means, variance = _moments(features, weights)
        # A deviation within rounding of the mean is none: a constant column must not be blown up to noise.
        spread = np.sqrt(variance)
        spread = np.where(spread > 1e-6 * np.maximum(np.abs(means), 1e-30), spread, 1.0)
        shift = np.zeros_like(means) if scipy.sparse.issparse(features) else means
        return cls(means, spread, shift)

    def apply(self, features: Features) -> Any:
        """Features on one scale, float64; missing ones are the mean."""
        filled = _filled(features, self.means)
        if scipy.sparse.issparse(filled):
            return filled @ scipy.sparse.diags(1 / self.spread)
        filled -= self.shift
        filled /= self.spread
        return filled

    def fold(self, coefficients: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same model for features as they come."""
        weights = coefficients / self.spread[:, None]
        return weights, intercept - self.shift @ weights


def _moments(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and variance of each column, missing ones aside; column by column, so that memory stays small."""
    means, variance = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for place in range(features.shape[1]):
        column = features[:, place].astype(np.float64)
        known = np.isfinite(column)
        share = weights[known]
        if share.sum() > 0:
            means[place] = np.average(column[known], weights=share)
            variance[place] = np.average((column[known] - means[place]) ** 2, weights=share)
    return means, variance


def _sparse_moments(features: scipy.sparse.csr_matrix, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of a sparse matrix, in which a missing value is a stored NaN."""
    rows = np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))
    known = np.isfinite(features.data)
    share, width = weights[rows], features.shape[1]
    missing = np.bincount(features.indices[~known], share[~known], minlength=width)
    total = np.maximum(weights.sum() - missing, 1e-300)
    values = np.where(known, features.data, 0.0).astype(np.float64)
    means = np.bincount(features.indices, share * values, minlength=width) / total
    squares = np.bincount(features.indices, share * values**2, minlength=width) / total
    return means, np.maximum(squares - means**2, 0.0)


def _bounded(filled: Any) -> Any:
    """Infinite features as the greatest finite ones: a product of large numbers may be too large for float32.

    Infinite ones could add up to no number at all.
    """
    if scipy.sparse.issparse(filled):
        filled.data = np.clip(filled.data, -_MOST, _MOST)
        return filled
    return np.clip(filled, -_MOST, _MOST, out=filled)


def _filled(features: Features, means: np.ndarray) -> Any:
    """A float64 copy in which the missing values are the means."""
    if not isinstance(features, np.ndarray):
        sparse: Any = features.astype(np.float64)
        missing = np.isnan(sparse.data)
        sparse.data[missing] = means[sparse.indices[missing]]
        return sparse
    filled = features.astype(np.float64)
    for place in np.flatnonzero(np.isnan(filled).any(axis=0)):
        column = filled[:, place]
        column[np.isnan(column)] = means[place]
    return filled


Fit = tuple[np.ndarray, np.ndarray]  # coefficients (W, K), intercepts (K,)


def _fits(job: Job, train: Any, path: tuple[float, ...]) -> Iterator[Fit]:
    """A fit for each penalty, each from where the last one ended."""
    if job.classes:
        return _logistic(job, train, path)
    if job.parameters.l1_ratio == 0:
        return _ridge(job, train, path)
    return _elastic(job, train, path)


def _logistic(job: Job, train: Any, path: tuple[float, ...]) -> Iterator[Fit]:
    """Minimizes mean log loss + alpha * (l1_ratio * |w|_1 + (1 - l1_ratio) / 2 * |w|_2^2)."""
    from sklearn.linear_model import LogisticRegression

    parameters: LinearParameters = job.parameters
    if len(np.unique(job.train.labels)) < 2:
        raise HeadraceError("train: expected rows of two classes or more in the train split. Received: rows of one")
    rows = train.shape[0]
    few = train.shape[1] * max(1, job.classes if job.classes > 2 else 1) <= 300 and not scipy.sparse.issparse(train)
    solver = "saga" if parameters.l1_ratio else "newton-cholesky" if few else "lbfgs"
    model = LogisticRegression(l1_ratio=parameters.l1_ratio, solver=solver, max_iter=parameters.max_iter,
                               warm_start=True, random_state=job.seed)  # fmt: skip
    for alpha in path:
        model.C = 1 / (alpha * rows)
        _fit_told(model, alpha, train, job.train.labels, job.train.weights)
        coefficients, intercept = np.asarray(model.coef_).T, np.asarray(model.intercept_)
        if len(model.classes_) < job.classes:  # a class without a row in train: it is never answered
            coefficients, intercept = _all_classes(coefficients, intercept, model.classes_, job.classes)
        yield coefficients, intercept


def _ridge(job: Job, train: Any, path: tuple[float, ...]) -> Iterator[Fit]:
    """Minimizes half the mean squared error + alpha / 2 * |w|_2^2, of the standardized label."""
    from sklearn.linear_model import Ridge

    target, mean, spread = _standardized(job.train)
    rows, width = train.shape
    if scipy.sparse.issparse(train) or width > _MOST_GRAM:
        for alpha in path:
            model = Ridge(alpha=alpha * rows, max_iter=job.parameters.max_iter, random_state=job.seed)
            model.fit(train, target, job.train.weights)
            yield np.asarray(model.coef_).reshape(-1, 1) * spread, np.array([float(model.intercept_) * spread + mean])
        return
    # With the products of the features once decomposed, each further penalty is one division.
    weights = np.ones(rows) if job.train.weights is None else job.train.weights
    weighted = train * weights[:, None]
    center = weighted.sum(axis=0) / weights.sum()
    values, vectors = np.linalg.eigh(weighted.T @ train - weights.sum() * np.outer(center, center))
    moments = vectors.T @ (weighted.T @ target)
    for alpha in path:
        coefficients = vectors @ (moments / (np.maximum(values, 0.0) + alpha * rows)) * spread
        yield coefficients.reshape(-1, 1), np.array([mean - center @ coefficients])


def _elastic(job: Job, train: Any, path: tuple[float, ...]) -> Iterator[Fit]:
    """Minimizes half the mean squared error + alpha * (l1_ratio * |w|_1 + (1 - l1_ratio) / 2 * |w|_2^2)."""
    from sklearn.linear_model import ElasticNet

    parameters: LinearParameters = job.parameters
    target, mean, spread = _standardized(job.train)
    model = ElasticNet(l1_ratio=parameters.l1_ratio, max_iter=parameters.max_iter, warm_start=True)
    for alpha in path:
        model.alpha = alpha
        _fit_told(model, alpha, train, target, job.train.weights)
        coefficients = np.asarray(model.coef_).reshape(-1, 1) * spread
        yield coefficients, np.array([float(model.intercept_) * spread + mean])


def _standardized(rows: Rows) -> tuple[np.ndarray, float, float]:
    """The label with mean 0 and deviation 1, and what both were."""
    mean = float(np.average(rows.labels, weights=rows.weights))
    spread = float(np.sqrt(np.average((rows.labels - mean) ** 2, weights=rows.weights))) or 1.0
    return (rows.labels - mean) / spread, mean, spread


def _all_classes(coefficients: np.ndarray, intercept: np.ndarray, known: np.ndarray, classes: int) -> Fit:
    """Scores of all classes, of a fit that has seen only some: the others have nothing but a tiny bias."""
    if coefficients.shape[1] == 1:  # two of them: the second's score against the first's 0
        coefficients = np.column_stack([np.zeros(len(coefficients)), coefficients])
        intercept = np.array([0.0, intercept[0]])
    wide, bias = np.zeros((len(coefficients), classes)), np.full(classes, intercept.min() + _NEVER)
    wide[:, known], bias[known] = coefficients, intercept
    return wide, bias


def _fit_told(model: Any, alpha: float, *data: Any) -> None:
    """Fits, and says in one line where the solver was not done: the eval split judges the result all the same."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(*data)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            print(f"alpha {alpha:g}: the solver stopped at max_iter {model.max_iter} before it was done")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
