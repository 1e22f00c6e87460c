"""The process behind StreamFlow's subscribers: who they are, what they do, and why they leave.

One row is one subscriber as StreamFlow knew them at the end of the snapshot day. `churned` says whether they
cancelled in the 30 days after it. It is drawn as Bernoulli(p), where p depends on that day's facts and on a
satisfaction which no column holds; nothing that happens after the snapshot flows back into a column.

Each column has its own random stream, keyed by the seed, the world and the column's name. So a new column
leaves the others as they are, and a short table is the head of a long one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Columns = Mapping[str, Array]

LAUNCH = np.datetime64("2018-01-15", "D")
MONTH_DAYS = 30  # StreamFlow bills every 30 days
YOUNGEST_DAYS = 2 * MONTH_DAYS  # newer subscribers have too little history, and are not in the table

LIST_PRICE = {"ads": 6.99, "standard": 12.99, "premium": 18.99, "family": 22.99, "student": 5.99}
REGION_PRICE = {"central": 1.0, "north": 1.05, "south": 0.92, "east": 0.88, "islands": 1.1}

# What satisfaction (standard normal) leaves in the columns; `attainable.py` inverts exactly these.
HOURS_PER_SATISFACTION, HOURS_NOISE = 0.35, 0.70  # of log(hours per week)
TREND_MEAN, TREND_PER_SATISFACTION, TREND_NOISE = -3.0, 8.0, 22.0  # percent
TICKETS_PER_SATISFACTION = -0.45  # of log(expected tickets)
SURVEY_CUTS, SURVEY_NOISE = (-1.3, -0.5, 0.4, 1.2), 0.45  # logistic noise; the cuts part the scores 1 to 5
SURVEY_ANSWERS = (0.45, 0.18, 0.07, 0.12, 0.35)  # share who answer, by the score they would give
AGE_NOISE = 12.0  # years
MAX_IDLE_DAYS = 180


@dataclass(frozen=True)
class World:
    """What may change between one snapshot and a later one.

    Attributes:
        snapshot: the day all columns are known at.
        plan_weights: relative demand for the plans ads, standard, premium, family, student.
        price_rise: factor on the list price since most was paid; 1.0 means none.
        price_sensitivity: churn logit per unit of log(current price / average price paid so far).
        first_id: where subscriber numbers begin, so that two worlds share no subscriber.
    """

    snapshot: np.datetime64
    plan_weights: tuple[float, float, float, float, float]
    price_rise: float
    price_sensitivity: float
    first_id: int


WORLDS = {
    "base": World(np.datetime64("2026-06-30", "D"), (0.26, 0.38, 0.18, 0.15, 0.03), 1.0, 3.0, 0),
    # Half a year later: list prices rose by 15 %, the plan with adverts is pushed, and patience is shorter.
    "price_rise": World(np.datetime64("2026-12-31", "D"), (0.38, 0.32, 0.12, 0.15, 0.03), 1.15, 5.0, 1 << 24),
}


@dataclass(frozen=True)
class Subscribers:
    """The whole truth of n subscribers, of which the table shows a part.

    Attributes:
        truth: every quantity of the process, complete, each [n]; `satisfaction` and `p` are never written.
        missing: for each column with holes, [n] of bool: True where the table has none.
        world: the world they live in.
    """

    truth: Columns
    missing: Columns
    world: World


class Streams:
    """One independent PCG64 stream per column: `Streams(seed, world)("plan")`."""

    def __init__(self, seed: int, world: str) -> None:
        self._key = (seed, zlib.crc32(world.encode()))

    def __call__(self, column: str) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([*self._key, zlib.crc32(column.encode())]))


def sigmoid(x: Array) -> Array:
    """The logistic function, of any shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def by_level(levels: Array, values: Mapping[str, float], default: float = 0.0) -> Array:
    """A number per row from its category; `default` for the levels that `values` does not name."""
    out = np.full(levels.shape, default)
    for level, value in values.items():
        out[levels == level] = value
    return out


def choose(uniform: Array, weights: Mapping[str, float | Array]) -> Array:
    """A category per row, [n] of str, in proportion to its weights (numbers, or [n] where rows differ)."""
    stacked = np.stack([np.broadcast_to(np.asarray(w, float), uniform.shape) for w in weights.values()])
    cumulative = np.cumsum(stacked, axis=0)
    index = (uniform * cumulative[-1] >= cumulative[:-1]).sum(axis=0)
    return np.asarray(np.array(list(weights))[index])


def generate(rows: int, seed: int, world: str = "base") -> Subscribers:
    """Draw subscribers.

    Args:
        rows: how many, at least 1.
        seed: not negative; the same seed gives the same subscribers.
        world: a key of `WORLDS`.

    Raises:
        ValueError: an argument is out of its range.
    """
    if rows < 1 or seed < 0 or world not in WORLDS:
        raise ValueError(
            f"expected rows >= 1, seed >= 0 and world one of {', '.join(WORLDS)}. "
            f"Received: rows={rows}, seed={seed}, world={world!r}"
        )
    stream, where = Streams(seed, world), WORLDS[world]
    truth = _people(stream, rows, where)
    truth |= _billing(stream, truth, where)
    truth |= _behaviour(stream, truth)
    truth["p"] = sigmoid(churn_logit(truth, where))
    truth["churned"] = (stream("churned").random(rows) < truth["p"]).astype(np.int64)
    return Subscribers(truth, _missing(stream, truth), where)


def _people(stream: Streams, n: int, world: World) -> dict[str, Array]:
    """Who they are, when and how they came, and what they bought."""
    gender = choose(stream("gender").random(n), {"female": 0.49, "male": 0.49, "other": 0.02})
    region = choose(
        stream("region").random(n),
        {"central": 0.34, "north": 0.23, "south": 0.22, "east": 0.205, "islands": 0.005},
    )
    channel = choose(
        stream("signup_channel").random(n),
        {"web": 0.40, "app": 0.27, "partner": 0.20, "referral": 0.10, "retail": 0.03},
    )
    partner = channel == "partner"
    # Partnerships began late, so their subscribers are newer; u**k skews tenure towards the new for everyone.
    share = stream("tenure").random(n) ** np.where(partner, 3.5, 2.0)
    oldest = (world.snapshot - LAUNCH).astype(int)
    tenure_days = (YOUNGEST_DAYS + share * (oldest - YOUNGEST_DAYS)).astype(np.int64)
    legacy = 0.04 + 0.09 * (tenure_days > 1500) + 0.05 * (region == "islands")
    device = choose(
        stream("device").random(n),
        {"smart_tv": 0.39, "phone": 0.26, "laptop": 0.15, "tablet": 0.09, "console": 0.05,
         "legacy_box": legacy, "vr_headset": 0.002},
    )  # fmt: skip
    tv, phone, female = device == "smart_tv", device == "phone", gender == "female"
    ads, standard, premium, family, student = world.plan_weights
    plan = choose(
        stream("plan").random(n),
        {"ads": ads * (1 + 0.3 * phone), "standard": standard, "premium": premium * (1 + 0.5 * tv),
         "family": family * (1 + 0.25 * female + 0.3 * tv), "student": student * (1 + phone)},
    )  # fmt: skip
    age_mean = 41.0 + by_level(plan, {"family": 4.0, "student": -17.0, "ads": -2.0})
    age_mean += by_level(device, {"legacy_box": 10.0, "phone": -5.0, "console": -8.0})
    more_profiles = by_level(plan, {"family": 2.2, "premium": 0.9, "standard": 0.6}, default=0.15)
    return {
        "number": world.first_id + 1 + np.arange(n), "gender": gender, "region": region, "device": device,
        "signup_channel": channel, "tenure_days": tenure_days, "tenure_months": tenure_days // MONTH_DAYS,
        "plan": plan, "age_mean": age_mean, "age": years(age_mean, stream("age").standard_normal(n)),
        "profiles": np.minimum(1 + stream("profiles").poisson(more_profiles), 6),
    }  # fmt: skip


def years(mean: Array, noise: Array) -> Array:
    """Age in whole years, from its mean and a standard normal deviate."""
    return np.clip(np.rint(mean + AGE_NOISE * noise), 18, 90)


def _billing(stream: Streams, t: Columns, world: World) -> dict[str, Array]:
    """What they pay, how, and how that went."""
    n, months = t["number"].size, t["tenure_months"]
    partner = t["signup_channel"] == "partner"
    offer = np.where(months <= 12, 0.22, 0.06) * (1 + partner)
    discount = choose(
        stream("discount_percent").random(n),
        {"0": 1 - offer, "10": 0.35 * offer, "20": 0.35 * offer, "30": 0.2 * offer, "50": 0.1 * offer},
    ).astype(np.int64)
    list_price = by_level(t["plan"], LIST_PRICE) * by_level(t["region"], REGION_PRICE)
    price = np.round(list_price * world.price_rise * (1 - discount / 100), 2)
    # Older subscribers paid older, lower prices; the noise is plan changes and offers long gone.
    paid = np.exp(-0.05 - 0.003 * np.minimum(months, 60) + 0.15 * stream("total_spend").standard_normal(n))
    method = choose(
        stream("payment_method").random(n),
        {"card": 0.55, "paypal": 0.2, "direct_debit": 0.14 + 0.08 * (t["region"] == "north"),
         "mobile_billing": 0.09 + 0.08 * (t["device"] == "phone"),
         "gift_card": 0.004 + 0.15 * (t["signup_channel"] == "retail")},
    )  # fmt: skip
    habit = by_level(method, {"card": 0.88, "paypal": 0.75, "direct_debit": 0.97, "mobile_billing": 0.6})
    autopay = stream("autopay").random(n) < habit
    trouble = {"card": 0.25, "direct_debit": 0.08, "paypal": 0.15, "mobile_billing": 0.45, "gift_card": 0.6}
    rate = by_level(method, trouble)
    failures = stream("payment_failures_90d").poisson(rate * np.where(autopay, 1.0, 1.8))
    overdue = stream("last_payment_date").random(n) < sigmoid(-4.5 + 1.1 * failures)
    return {
        "discount_percent": discount, "monthly_price": price, "autopay": autopay, "overdue": overdue,
        "total_spend": np.round(months * list_price * paid, 2),
        "payment_method": method, "payment_failures_90d": failures,
        "days_since_payment": t["tenure_days"] % MONTH_DAYS + MONTH_DAYS * overdue,
    }  # fmt: skip


def _behaviour(stream: Streams, t: Columns) -> dict[str, Array]:
    """Satisfaction, and the traces it leaves."""
    n = t["number"].size
    satisfaction = stream("satisfaction").standard_normal(n)
    hours = np.exp(hours_mean(t, satisfaction) + HOURS_NOISE * stream("hours_per_week").standard_normal(n))
    trend = trend_mean(satisfaction) + TREND_NOISE * stream("hours_trend_percent").standard_normal(n)
    hours = np.clip(np.round(hours, 1), 0.1, 120.0)
    idle = stream("last_active_date").standard_exponential(n) * idle_mean(hours)
    u = stream("survey_score").random(n)
    opinion = satisfaction + SURVEY_NOISE * np.log(u / (1 - u))
    return {
        "satisfaction": satisfaction,
        "hours_per_week": hours,
        "hours_trend_percent": np.maximum(np.round(trend, 1), -100.0),
        "days_idle": np.minimum(idle.astype(np.int64), idle_limit(t)),
        "support_tickets_90d": stream("support_tickets_90d").poisson(np.exp(log_tickets(t, satisfaction))),
        "survey_score": 1 + np.searchsorted(SURVEY_CUTS, opinion),
    }


def hours_mean(t: Columns, satisfaction: Array) -> Array:
    """Mean of log(hours per week)."""
    mean = 1.75 + by_level(t["device"], {"smart_tv": 0.25, "phone": -0.2, "legacy_box": -0.1})
    mean += by_level(t["plan"], {"family": 0.3, "premium": 0.2}) + 0.06 * (t["gender"] == "male")
    return np.asarray(mean + HOURS_PER_SATISFACTION * satisfaction)


def trend_mean(satisfaction: Array) -> Array:
    """Mean change of the hours watched, percent: the last 4 weeks against the 12 before."""
    return TREND_MEAN + TREND_PER_SATISFACTION * satisfaction


def idle_mean(hours: Array) -> Array:
    """Mean days since the last sign-in (an exponential): who watches much was here lately."""
    return 14.0 / (0.6 + hours)


def idle_limit(t: Columns) -> Array:
    """Most days one can have been away: nobody was last active before they signed up."""
    return np.minimum(t["tenure_days"], MAX_IDLE_DAYS)


def log_tickets(t: Columns, satisfaction: Array) -> Array:
    """Log of the expected support tickets in 90 days."""
    trouble = 0.3 * np.minimum(t["payment_failures_90d"], 4) + 0.5 * (t["device"] == "legacy_box")
    return np.asarray(-1.15 + trouble + TICKETS_PER_SATISFACTION * satisfaction)


def churn_logit(t: Columns, world: World) -> Array:
    """Log-odds of cancelling within 30 days of the snapshot; the columns of `t` broadcast."""
    months, hours, channel = t["tenure_months"], t["hours_per_week"], t["signup_channel"]
    logit = -4.15 + by_level(t["plan"], {"ads": 0.2, "family": -0.3, "student": -0.3})
    logit = logit + by_level(channel, {"partner": 0.35, "referral": -0.4})
    logit = logit + by_level(t["payment_method"], {"gift_card": 1.5, "mobile_billing": 0.3, "direct_debit": -0.3})
    logit = logit + 0.9 * (t["region"] == "islands") + 0.4 * (t["device"] == "legacy_box")
    logit = logit - 0.5 * np.log(months / 24) - 0.02 * (t["age"] - 40) - 0.15 * (t["profiles"] - 1)
    # A partner's bundle pays the first year: those who came for it leave when it ends.
    logit = logit + 1.3 * ((channel == "partner") & (months >= 12) & (months <= 14))
    # A failed payment hurts more when nobody retries it for you.
    logit = logit + np.minimum(t["payment_failures_90d"], 3) * np.where(t["autopay"], 0.45, 0.95)
    logit = logit + 1.5 * t["overdue"] + 0.4 * np.minimum(t["support_tickets_90d"], 4)
    # Paying more than one is used to, and paying much for little.
    logit = logit + world.price_sensitivity * np.log(t["monthly_price"] * months / t["total_spend"])
    logit = logit + 0.95 * np.clip(np.log(t["monthly_price"] / hours), -2.0, 3.0)
    logit = logit + 0.45 * np.log1p(t["days_idle"]) - 0.015 * t["hours_trend_percent"]
    return np.asarray(logit - 0.9 * t["satisfaction"])


def _missing(stream: Streams, t: Columns) -> dict[str, Array]:
    """Which cells the table lacks."""
    n = t["number"].size
    # An old set-top box does not report what is played on it.
    unseen = stream("hours_per_week missing").random(n) < np.where(t["device"] == "legacy_box", 0.95, 0.01)
    # Partners seldom pass on the date of birth.
    ageless = stream("age missing").random(n) < np.where(t["signup_channel"] == "partner", 0.45, 0.04)
    # Who has strong feelings answers: whether there is a score depends on the score.
    answers = np.array(SURVEY_ANSWERS)[t["survey_score"] - 1]
    silent = stream("survey_score missing").random(n) >= answers
    return {"hours_per_week": unseen, "hours_trend_percent": unseen, "age": ageless, "survey_score": silent}
