"""The `data` section of the spec."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from headrace.artifacts.csv_text import SEPARATORS
from headrace.artifacts.written import split_type
from headrace.components.ingest.sources.spec import BigQuery, Images
from headrace.components.section import Section


def on_is_a_name(value: Any) -> Any:
    """A section as read by YAML 1.1, to which a bare `on` is true."""
    return {"on" if key is True else key: one for key, one in value.items()} if isinstance(value, dict) else value


def utc(value: datetime | None) -> datetime | None:
    """A moment in UTC without a zone, as snapshots have them."""
    return value.astimezone(UTC).replace(tzinfo=None) if value is not None and value.tzinfo else value


def _known(text: str) -> str:
    split_type(text)
    return text


DeclaredType = Annotated[str, AfterValidator(_known)]


class Label(Section):
    """What is predicted: a column of the source, or a new one with the expression that computes it."""

    name: str = Field(min_length=1)
    """The column's name."""
    expression: str | None = Field(default=None, min_length=1)
    """A row-wise expression over the source's columns, e.g. `tips > 0.2 * fare`; its columns are no features."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Label) else {"name": value}


class Split(Section):
    """How rows are divided into train, eval and test."""

    by: Literal["hash", "time", "column", "group", "stratified"] = "hash"
    """`hash` of the id (of all columns where there is no id): a row keeps its split when rows are added. `time`: train
    is before eval, and eval before test. `column`: a column says it. `group`: all rows with the same value share a
    split. `stratified`: exact shares of every class."""
    column: str | None = None
    """The column of the time, split, group or stratum. Only `stratified` has a default: the label."""
    eval: float = Field(default=0.15, gt=0, lt=1)
    """Share of the rows that early stopping and tuning look at."""
    test: float = Field(default=0.15, gt=0, lt=1)
    """Share of the rows that evaluation and the gates look at, and nothing before them."""
    eval_from: datetime | None = None
    """By time: the moment (UTC) where eval begins, instead of its share."""
    test_from: datetime | None = None
    """By time: the moment (UTC) where test begins, instead of its share."""
    values: dict[Literal["train", "eval", "test"], list[str]] | None = None
    """By column: which values mean which split; by default the splits' names."""

    @model_validator(mode="after")
    def _something_left(self) -> Split:
        if self.eval + self.test >= 0.9:
            raise ValueError(
                f"expected eval + test below 0.9, to leave rows to train on. Received: {self.eval + self.test:g}"
            )
        return self

    @field_validator("eval_from", "test_from")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        return utc(value)

    @model_validator(mode="after")
    def _fields_fit(self) -> Split:
        if self.column is None and self.by in ("time", "column", "group"):
            raise ValueError(f"expected `column` with `by: {self.by}`. Received: none")
        if self.column is not None and self.by == "hash":
            raise ValueError("expected no `column` with `by: hash`. Received: one; did you mean `by: group`?")
        if (self.eval_from is None) != (self.test_from is None):
            raise ValueError("expected eval_from and test_from together. Received: one of them")
        if self.eval_from is not None and self.test_from is not None:
            if self.by != "time":
                raise ValueError(f"expected eval_from and test_from with `by: time`. Received: `by: {self.by}`")
            if self.eval_from >= self.test_from:
                raise ValueError(f"expected eval_from before test_from. Received: {self.eval_from}, {self.test_from}")
        if self.values is not None:
            self._check_values(self.values)
        return self

    def _check_values(self, values: dict[Literal["train", "eval", "test"], list[str]]) -> None:
        if self.by != "column":
            raise ValueError(f"expected `values` with `by: column`. Received: `by: {self.by}`")
        named = [value for each in values.values() for value in each]
        if missing := [name for name in ("train", "eval", "test") if not values.get(name)]:
            raise ValueError(f"expected values for every split. Received: none for {', '.join(missing)}")
        if len(set(named)) < len(named):
            twice = sorted({value for value in named if named.count(value) > 1})
            raise ValueError(f"expected every value in one split. Received: {', '.join(twice)} more than once")


Format = Literal["csv", "tsv", "parquet", "jsonl", "avro", "tfrecord", "images"]


class Join(Section):
    """Columns from another source, found by key. A key names at most one row there."""

    source: str = Field(min_length=1)
    """A file, a glob or a URL, as `data.source`."""
    on: list[str] = Field(min_length=1)
    """The columns, of the same names on both sides, that must be equal."""
    how: Literal["left", "inner"] = "left"
    """`left` keeps rows that find none (their new columns are missing), `inner` leaves them out."""
    format: Format | None = None
    """The source's format, where its suffix does not tell it."""
    query: str | None = None
    """What is asked of a database."""

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_name(cls, value: Any) -> Any:
        return on_is_a_name(value)

    @field_validator("on", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Watermark(Section):
    """Incremental ingestion: only what is newer than the previous snapshot is added to it."""

    column: str = Field(min_length=1)
    """A number, date or time that grows: rows above the previous snapshot's greatest are new. Of rows with the same
    id the newest stays."""


class Rejects(Section):
    """Rows that cannot be read, or with values that are not of their declared type."""

    at_most: int = Field(default=0, ge=0)
    """So many are left out, counted and named in the snapshot; with one more the run fails."""


class DataSpec(Section):
    """Where the rows come from, what is predicted, and how the rows are split."""

    source: str | list[str] = Field(min_length=1)
    """A file (`.csv`, `.tsv`, `.jsonl`, each also compressed: `.gz`, `.bz2`, `.zst`, `.xz`; `.parquet`, `.avro`,
    `.tfrecord`), a glob, a URL (`gs://`, `s3://`, `sqlite://`, `postgresql://`, `bigquery://`), or a list of them:
    their rows are put together by the columns' names. Paths are relative to the spec's folder; `${NAME}` in a URL is
    taken from the environment."""
    format: Format | None = None
    """The sources' format, where a suffix does not tell it."""
    query: str | None = None
    """What is asked of a database, in its SQL."""
    staging: str | None = None
    """`gs://bucket/prefix`, where BigQuery exports what is read from it: quick for any size. Nothing of it stays."""
    bigquery: BigQuery = BigQuery()
    """How BigQuery is asked."""
    images: Images = Images()
    """How a folder of images is read. Their `label` is called `label` by default, `path` is their id, and they are
    split by group, so that copies and near-duplicates stay together."""
    join: list[Join] = Field(default=[])
    """Columns from other sources."""
    watermark: Watermark | None = None
    """Adds to the previous snapshot only what is newer."""
    rejects: Rejects = Rejects()
    """How many rows that cannot be read are left out before a run fails."""
    types: dict[str, DeclaredType] = Field(default={})
    """Types of columns, instead of those that all their values suggest: `string`, `number`, `integer`, `boolean`,
    `date` or `timestamp`; `amount` for numbers as people write them (`$1,234.50`, `12 %`, `(3.00)`), whose unit is
    dropped; `date %d/%m/%Y` or `timestamp %m/%d/%Y %I:%M %p` for dates that are not as ISO 8601 has them. A value that
    does not fit rejects its row."""
    label: Label
    """The column to predict, or a name with the expression that computes it."""
    positive: str | None = None
    """The class that counts as positive, where there are two; by default the greater one (`1`, `true`, `yes`)."""
    id: str | None = None
    """The column that identifies a row: unique, never missing, never a feature."""
    split: Split = Split()
    """How rows are divided into train, eval and test."""
    null_values: list[str] = Field(default=["", "NA", "N/A", "NaN", "nan", "null", "NULL"])
    """What counts as missing in text files, beside an empty field."""
    trim: bool = False
    """Whether spaces around the fields of a delimited text file are none of their values, as in `34, Private`. Numbers
    and dates may have them without."""
    separator: str | None = None
    """The one character between the fields of a text file; by default a comma, and in `.tsv` files a tab (`"\\t"`)."""
    decimal: Literal[".", ","] = "."
    """What stands before a number's fraction in text files; with `,` a dot may group thousands, as in `1.234,56`."""

    @model_validator(mode="before")
    @classmethod
    def _of_images(cls, value: Any) -> Any:
        """Pictures are named by their files, and copies and near-duplicates of one stay in one split."""
        if not isinstance(value, dict) or value.get("format") != "images":
            return value
        split = value.get("split") or {}
        if isinstance(split, dict) and split.get("by", "hash") == "hash" and split.get("column") is None:
            split = {**split, "by": "group", "column": "group"}
        own_id = value["id"] if value.get("id") is not None else "path"
        return {"label": "label", **value, "id": own_id, "split": split}

    @model_validator(mode="after")
    def _images_fit(self) -> DataSpec:
        if self.format != "images":
            return self
        if isinstance(self.source, list):
            raise ValueError(
                "source: expected one folder or CSV of images, so that all of them are held against each other. "
                "Received: a list"
            )
        if self.watermark is not None:
            raise ValueError(
                "watermark: expected none of images: those that are new are held against all others. Received: one"
            )
        if self.label.expression is not None:
            raise ValueError("label: expected the name of the classes' column. Received: an expression")
        if self.split.by == "stratified":
            raise ValueError(
                "split.by: expected `group`, `time` or `column` of images. Received: stratified, which would put "
                "copies of one picture into several splits"
            )
        return self

    @property
    def splitting(self) -> Split:
        """How the rows of a snapshot are split: of images, `group` holds together what the split's column does, too."""
        if self.format != "images" or self.split.by != "group":
            return self.split
        return self.split.model_copy(update={"column": "group"})

    @property
    def sources(self) -> list[str]:
        """The sources whose rows are read, without those that are joined."""
        return [self.source] if isinstance(self.source, str) else list(self.source)

    @field_validator("source")
    @classmethod
    def _named(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list) and not all(value):
            raise ValueError("expected a file, a glob or a URL. Received: an empty text")
        return value

    @field_validator("separator")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and value not in SEPARATORS:
            raise ValueError(f"expected one character, such as a semicolon or a tab. Received: {value!r}")
        return value

    @model_validator(mode="after")
    def _label_is_not_id(self) -> DataSpec:
        if self.id == self.label.name:
            raise ValueError(f"expected different columns as id and label. Received: {self.id!r} for both")
        return self
