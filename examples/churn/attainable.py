"""What a model of StreamFlow's subscribers can reach at best: E[p | what the table shows].

Two limits. The *oracle* knows the true p, satisfaction included; no model of the table gets there. The
*attainable* score is q = E[p | columns], the best any function of the columns can do: ranking by the
conditional probability maximizes the ROC curve everywhere (Neyman-Pearson). Given the columns, four things
are unknown: satisfaction always; hours and their trend where usage is missing; age where it is missing. Each
is made from a standard normal deviate z in the process, so

    q = sum_k w_k L(z_k) p(z_k) / sum_k w_k L(z_k)

over the nodes z_k and weights w_k of a Gauss-Hermite product grid, one axis per unknown, where L is the
likelihood of the columns that satisfaction or the unseen hours left traces in: hours, trend, tickets, survey
score (or its absence, which tells something too) and last activity. That usage or age is missing tells
nothing beyond the device and the channel, which the table shows.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from streamflow import (
    HOURS_NOISE,
    SURVEY_ANSWERS,
    SURVEY_CUTS,
    SURVEY_NOISE,
    TREND_NOISE,
    Array,
    Columns,
    Subscribers,
    churn_logit,
    hours_mean,
    idle_limit,
    idle_mean,
    log_tickets,
    sigmoid,
    trend_mean,
    years,
)

NODES = {"satisfaction": 32, "hours_per_week": 12, "hours_trend_percent": 6, "age": 8}
CELLS = 1 << 18  # rows x nodes worked on at a time: what fits in the processor's cache


def attainable(subscribers: Subscribers, nodes: dict[str, int] | None = None) -> Array:
    """E[p | the columns of the table], [n].

    Args:
        subscribers: of `streamflow.generate`. Only what the table shows is used.
        nodes: quadrature nodes by unknown; default `NODES`.
    """
    counts = nodes or NODES
    missing = subscribers.missing
    q = np.empty(subscribers.truth["p"].shape)
    for usage in (False, True):
        for age in (False, True):
            rows = np.flatnonzero((missing["hours_per_week"] == usage) & (missing["age"] == age))
            unknown = ["satisfaction"]
            unknown += ["hours_per_week", "hours_trend_percent"] if usage else []
            unknown += ["age"] if age else []
            z, weights = _grid({name: counts[name] for name in unknown})
            for part in np.array_split(rows, max(1, rows.size * weights.size // CELLS)):
                q[part] = _posterior_mean(subscribers, part, z, weights)
    return q


def _grid(counts: dict[str, int]) -> tuple[dict[str, Array], Array]:
    """The product of Gauss-Hermite rules for normals: nodes [k] by name, weights [k] that sum to 1."""
    rules = [hermegauss(count) for count in counts.values()]
    mesh = np.meshgrid(*(nodes for nodes, _ in rules), indexing="ij")
    weights = reduce(np.multiply.outer, (w / w.sum() for _, w in rules))
    return {name: m.ravel() for name, m in zip(counts, mesh, strict=True)}, np.ravel(weights)


def _posterior_mean(subscribers: Subscribers, rows: Array, z: dict[str, Array], weights: Array) -> Array:
    """q of some rows, [m], which all lack the same columns."""
    holes = {name: mask[rows, None] for name, mask in subscribers.missing.items()}
    hidden = {"satisfaction", "p", "churned", *(name for name in z)}
    t = {name: column[rows, None] for name, column in subscribers.truth.items() if name not in hidden}
    t["satisfaction"] = z["satisfaction"][None, :]
    log_likelihood = _log_traces(t, holes)
    if "age" in z:
        t["age"] = years(t["age_mean"], z["age"][None, :])
    if "hours_per_week" in z:
        mean = hours_mean(t, t["satisfaction"])
        t["hours_per_week"] = np.clip(np.exp(mean + HOURS_NOISE * z["hours_per_week"]), 0.1, 120.0)
        t["hours_trend_percent"] = trend_mean(t["satisfaction"]) + TREND_NOISE * z["hours_trend_percent"]
    else:
        log_likelihood = log_likelihood + _log_usage(t)
    log_likelihood = log_likelihood + _log_idle(t)
    posterior = weights * np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    p = sigmoid(churn_logit(t, subscribers.world))
    return np.asarray((posterior * p).sum(axis=1) / posterior.sum(axis=1))


def _log_traces(t: Columns, holes: Columns) -> Array:
    """Log-likelihood, up to a constant, of tickets (Poisson) and survey (ordered logit, silence), [m, k]."""
    satisfaction = t["satisfaction"]
    log_rate = log_tickets(t, satisfaction)
    below = sigmoid((np.array(SURVEY_CUTS)[:, None] - satisfaction) / SURVEY_NOISE)
    zero, one = np.zeros_like(satisfaction), np.ones_like(satisfaction)
    share = np.diff(np.concatenate([zero, below, one]), axis=0) * np.array(SURVEY_ANSWERS)[:, None]
    # Row 0 is silence, row s is "answered with s".
    outcome = np.concatenate([1 - share.sum(axis=0, keepdims=True), share])
    answer = np.where(holes["survey_score"], 0, t["survey_score"])[:, 0]
    return np.asarray(t["support_tickets_90d"] * log_rate - np.exp(log_rate) + np.log(outcome)[answer])


def _log_usage(t: Columns) -> Array:
    """Log-likelihood of the hours (log-normal) and their trend (normal), [m, k], up to a constant."""
    hours = (np.log(t["hours_per_week"]) - hours_mean(t, t["satisfaction"])) / HOURS_NOISE
    trend = (t["hours_trend_percent"] - trend_mean(t["satisfaction"])) / TREND_NOISE
    return np.asarray(-0.5 * (hours**2 + trend**2))


def _log_idle(t: Columns) -> Array:
    """Log-likelihood of the days away (an exponential cut to whole days and capped), [m, k]."""
    mean = idle_mean(t["hours_per_week"])
    capped = t["days_idle"] >= idle_limit(t)
    return np.asarray(-t["days_idle"] / mean + np.where(capped, 0.0, np.log1p(-np.exp(-1 / mean))))


def expected_auc(score: Array, p: Array) -> float:
    """The AUC of `score` [n] in expectation over labels drawn as Bernoulli(p) [n]: without the draw's noise.

    Every row counts as positive with weight p and as negative with weight 1 - p. The scores are taken
    as distinct.
    """
    order = np.argsort(score)
    positive, negative = p[order], 1 - p[order]
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum() - (positive * negative).sum()  # a row is not compared with itself
    return float((positive * below).sum() / pairs)


def auc(score: Array, label: Array) -> float:
    """The AUC of `score` [n] for labels 0/1 [n]; ties count half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = label.sum()
    area = rank[label == 1].sum() - positives * (positives + 1) / 2
    return float(area / (positives * (label.size - positives)))


def describe(subscribers: Subscribers) -> str:
    """What the table holds and what a model of it can reach, as text."""
    t = subscribers.truth
    p, label, q = t["p"], t["churned"], attainable(subscribers)
    rare = {"region": "islands", "device": "vr_headset", "payment_method": "gift_card", "gender": "other"}
    lines = [
        f"snapshot               {subscribers.world.snapshot}",
        f"churned                {label.mean():.4f} of the rows; mean true probability {p.mean():.4f}",
        f"AUC of the true p      {expected_auc(p, p):.4f} expected; {auc(p, label):.4f} on these labels",
        f"AUC attainable         {expected_auc(q, p):.4f} expected; {auc(q, label):.4f} on these labels",
        *(f"missing {name:<22} {mask.mean():.4f}" for name, mask in subscribers.missing.items()),
        *(f"rare {column + ' ' + level:<25} {(t[column] == level).sum():,} rows" for column, level in rare.items()),
    ]
    return "\n".join(lines)
