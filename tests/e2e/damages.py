"""A good table, and the ways to damage it."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HEADER = ["id", "seen_at", "joined", "age", "price", "usage", "plan", "region", "active", "label"]
PLANS = ["basic", "plus", "pro", "team"]
REGIONS = ["north", "south", "east", "west"]
ROWS = 1_600

Row = dict[str, str]
Rows = list[Row]


def good_rows(count: int = ROWS, seed: int = 0, first: int = 0) -> Rows:
    """Customers of whom some three in ten leave: the fewer hours of use, and the dearer, the more."""
    chance = random.Random(seed)
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    rows = []
    for number in range(first, first + count):
        usage, price = chance.gammavariate(3, 4), chance.choice([9.0, 12.5, 15.0]) + chance.random()
        leaves = chance.gauss(0, 1.5) + (price - 13) * 0.4 - (usage - 9) * 0.35 > 0.4
        rows.append(
            {
                "id": f"c{number:05d}",
                "seen_at": (now - timedelta(minutes=30 + chance.randrange(20_000))).isoformat(sep=" "),
                "joined": (now - timedelta(days=chance.randrange(30, 900))).date().isoformat(),
                "age": str(chance.randrange(18, 80)),
                "price": f"{price:.2f}",
                "usage": f"{usage:.2f}",
                "plan": chance.choices(PLANS, [5, 3, 2, 1])[0],
                "region": chance.choice(REGIONS),
                "active": chance.choice(["true", "true", "true", "false"]),
                "label": str(int(leaves)),
            }
        )
    return rows


def as_csv(rows: Rows, header: list[str] | None = None, separator: str = ",") -> bytes:
    """The rows as a file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Damage:
    """What happens to the table, the task that stops the run, and what it says."""

    name: str
    to: Callable[[Rows], Rows | bytes]
    stops: str  # ingest | validate | gate: at the gate, training has been for nothing, but nothing is pushed
    says: tuple[str, ...]
    quick: bool = False  # one of those that always run


def each(change: Callable[[Row, random.Random], Row]) -> Callable[[Rows], Rows]:
    """A damage that is done to each row by itself."""
    chance = random.Random(1)
    return lambda rows: [change(row, chance) for row in rows]


def put(column: str, value: Callable[[Row], object], share: float = 1.0) -> Callable[[Rows], Rows]:
    """Another value in a share of the rows."""
    return each(lambda row, chance: {**row, column: str(value(row))} if chance.random() < share else row)


def moved(column: str, days: float) -> Callable[[Rows], Rows]:
    """Times that lie elsewhere."""
    return put(column, lambda row: datetime.fromisoformat(row[column]) + timedelta(days=days))


def without(column: str) -> Callable[[Rows], Rows]:
    return each(lambda row, _: {name: value for name, value in row.items() if name != column})


def renamed(old: str, new: str) -> Callable[[Rows], Rows]:
    return each(lambda row, _: {new if name == old else name: value for name, value in row.items()})


def copies(share: float, **values: Callable[[Row], str]) -> Callable[[Rows], Rows]:
    """Some rows again under new ids, with other values here and there."""

    def damage(rows: Rows) -> Rows:
        again = rows[: int(len(rows) * share)]
        return rows + [
            {**row, "id": f"d{i:05d}", **{name: value(row) for name, value in values.items()}}
            for i, row in enumerate(again)
        ]

    return damage


def swapped(a: str, b: str) -> Callable[[Rows], Rows]:
    return each(lambda row, _: {**row, a: row[b], b: row[a]})


def shuffled(column: str) -> Callable[[Rows], Rows]:
    def damage(rows: Rows) -> Rows:
        values = [row[column] for row in rows]
        random.Random(2).shuffle(values)
        return [{**row, column: value} for row, value in zip(rows, values, strict=True)]

    return damage


def flipped(row: Row) -> str:
    return "1" if row["label"] == "0" else "0"


DAMAGES = [
    # Columns.
    Damage(
        "column-missing", without("region"), "validate", ("region: expected text", "completely missing"), quick=True
    ),
    Damage("column-renamed", renamed("age", "years"), "validate", ("age: expected", "years: expected no column")),
    Damage(
        "column-new",
        put("voucher", lambda row: "x" * (int(row["age"]) % 3 + 1)),
        "validate",
        ("voucher: expected no column of this name",),
    ),
    Damage(
        "columns-swapped",
        swapped("price", "usage"),
        "validate",
        ("price: expected a distribution", "usage: expected a distribution"),
    ),
    Damage("column-empty", put("usage", lambda row: ""), "validate", ("usage: expected a number",)),
    Damage(
        "column-constant",
        put("region", lambda row: "north"),
        "validate",
        ("region: expected values that differ. Received: 'north' in every row",),
    ),
    Damage("label-missing", without("label"), "ingest", ("expected the label column `label`",)),
    # Types and formats.
    Damage(
        "number-as-words",
        put("age", lambda row: "old" if int(row["age"]) > 50 else "young"),
        "validate",
        ("age: expected a whole number",),
    ),
    Damage(
        "number-with-unit", put("price", lambda row: row["price"] + " EUR"), "validate", ("price: expected a number",)
    ),
    Damage(
        "decimal-comma",
        put("price", lambda row: row["price"].replace(".", ",")),
        "validate",
        ("price: expected a number",),
    ),
    Damage(
        "date-format",
        put("joined", lambda row: "/".join(reversed(row["joined"].split("-")))),
        "validate",
        ("joined: expected a date",),
    ),
    Damage(
        "not-utf-8",
        lambda rows: as_csv(put("region", lambda row: "süd")(rows)).decode().encode("latin-1"),
        "ingest",
        ("expected UTF-8 text", "0xfc"),
    ),
    Damage(
        "wrong-separator",
        lambda rows: as_csv(rows, separator=";"),
        "ingest",
        (
            "expected fields separated by ','",
            "separated by ';'",
        ),
    ),
    Damage(
        "ragged-rows",
        lambda rows: as_csv(rows).replace(b",north,", b",north,extra,"),
        "ingest",
        ("expected 10 fields, as in the header. Received: 11",),
    ),
    Damage("truncated", lambda rows: as_csv(rows)[:-30], "ingest", ("expected 10 fields",)),
    Damage("header-lost", lambda rows: as_csv(rows).split(b"\n", 1)[1], "ingest", ("expected the id column `id`",)),
    Damage(
        "header-only",
        lambda rows: as_csv(rows)[: len(",".join(HEADER)) + 1],
        "ingest",
        ("expected rows below the header",),
    ),
    Damage("empty-file", lambda rows: b"", "ingest", ("expected CSV text with a header. Received: an empty file",)),
    # Values.
    Damage(
        "cents-for-euros",
        put("price", lambda row: float(row["price"]) * 100),
        "validate",
        ("price: expected a distribution like that of the champion's",),
        quick=True,
    ),
    Damage(
        "sentinel",
        put("age", lambda row: -999, 0.02),
        "validate",
        ("expected the check `ages` to pass", "rows that its query selects, such as c0"),
    ),
    Damage(
        "infinite", put("usage", lambda row: "inf", 0.3), "validate", ("usage: expected a number", "a value in only")
    ),
    Damage(
        "missing-flood", put("usage", lambda row: "", 0.5), "validate", ("usage: expected a number", "a value in only")
    ),
    Damage(
        "gaps-tell",
        put("usage", lambda row: "" if row["label"] == "1" else row["usage"]),
        "validate",
        ("usage: expected missing values that do not tell `label`",),
    ),
    Damage("upper-case", put("plan", lambda row: row["plan"].upper()), "validate", ("plan: expected text", "BASIC")),
    Damage(
        "spaces",
        put("plan", lambda row: " " + row["plan"], 0.5),
        "validate",
        ("plan: expected text", "values that are not listed"),
    ),
    Damage(
        "categories-renamed",
        put("plan", lambda row: "standard" if row["plan"] == "basic" else row["plan"]),
        "validate",
        ("plan: expected text", "standard"),
    ),
    Damage(
        "new-category-flood",
        put("plan", lambda row: "trial", 0.4),
        "validate",
        ("plan: expected text", "trial (~", "such as c0"),
    ),
    Damage(
        "leak",
        put("usage", lambda row: int(row["label"]) * 40 + float(row["usage"]) / 10),
        "validate",
        ("usage: expected no feature that alone predicts `label`",),
    ),
    # The label.
    Damage(
        "label-rate",
        put("label", lambda row: "1", 0.5),
        "validate",
        ("label: expected a label within 0.1 of what the champion was trained on",),
    ),
    Damage("labels-inverted", put("label", flipped), "validate", ("label: expected a label within 0.1",)),
    Damage("label-constant", put("label", lambda row: "1"), "ingest", ("expected a label of at least two values",)),
    Damage("label-gaps", put("label", lambda row: "", 0.05), "ingest", ("expected a label in every row",)),
    Damage("label-new-class", put("label", lambda row: "2", 0.05), "validate", ("label: expected text", "2 (~5%)")),
    Damage("labels-shuffled", shuffled("label"), "gate", ("auc at least 0.7",)),
    Damage(
        "labels-conflict",
        copies(0.2, label=flipped),
        "validate",
        ("label: expected at most 1.00% of the rows to have a twin",),
    ),
    # Rows.
    Damage(
        "duplicates",
        copies(0.2),
        "validate",
        ("of the rows to repeat another in all columns but `id`", "rows of test to stand in train too"),
    ),
    Damage("appended-twice", lambda rows: rows + rows, "ingest", ("expected every `id` once",)),
    Damage(
        "half-the-rows", lambda rows: rows[: ROWS // 2], "validate", ("between 1,120 and 2,400 rows", "800 rows (-50%)")
    ),
    Damage("thrice-the-rows", lambda rows: rows + good_rows(2 * ROWS, 5, ROWS), "validate", ("4,800 rows (+200%)",)),
    Damage(
        "stale", moved("seen_at", -60), "validate", ("seen_at: expected a newest row not older than 7d", "60 days ago")
    ),
    Damage(
        "future",
        moved("seen_at", 30),
        "validate",
        ("seen_at: expected no row more than 3h in the future", "such as c0"),
    ),
    Damage(
        "time-zone",
        moved("seen_at", 9 / 24),
        "validate",
        ("seen_at: expected no row more than 3h in the future", "Correct the dates, or their time zone"),
    ),
    Damage("id-reused", put("id", lambda row: row["id"][:-1]), "ingest", ("expected every `id` once",)),
    Damage("id-missing", put("id", lambda row: "", 0.05), "ingest", ("expected an id in every row",)),
]
