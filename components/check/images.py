"""What the data report shows of a snapshot of images: formats, sizes, sample tiles, pictures that repeat, or nearly."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dataset import SPLITS, Dataset, holds_pictures
from headrace.components.check.repeated import HASH_OF_FILE
from headrace.components.check.rows import NUMBER, scan
from headrace.components.ingest.merge import literal, quoted

if TYPE_CHECKING:
    import duckdb

IMAGE, PATH, WIDTH, HEIGHT, FORMAT, GROUP = "image", "path", "width", "height", "format", "group"
_TILES, _TILE_PIXELS = 48, 96  # in all; some 2 KiB each
_MOST_CLASSES = 16  # that get tiles
_MOST_REPEATED = 20
_MOST_ALIKE, _SHOWN_OF_EACH = 12, 4  # groups of near-duplicates, and pictures of each, that are shown


def profile_images(connection: duckdb.DuckDBPyConnection, snapshot: Dataset) -> dict[str, Any]:
    """Formats, sizes, tiles and repeated files of a snapshot of images; empty for tables."""
    names = {column.name for column in snapshot.info.columns}
    if not holds_pictures(snapshot.info) or IMAGE not in names:
        return {}
    result: dict[str, Any] = {"tiles": _tiles(connection, snapshot, names)}
    rows = " UNION ALL ".join(_select(snapshot, split, names) for split in SPLITS)
    if FORMAT in names:
        result["formats"] = dict(
            connection.execute(f"SELECT {FORMAT}, count(*) FROM ({rows}) GROUP BY 1 ORDER BY 1").fetchall()
        )
    if {WIDTH, HEIGHT} <= names:
        sizes = f"SELECT {WIDTH}, {HEIGHT}, count(*) n FROM ({rows}) GROUP BY ALL ORDER BY n DESC, 1, 2"
        result["sizes"] = [list(row) for row in connection.execute(sizes).fetchall()][:200]
    if {HASH_OF_FILE, PATH} <= names:
        repeated = (
            f"SELECT list({PATH} ORDER BY {PATH})[:5], count(*) n, count(DISTINCT split) FROM ({rows}) "
            f"GROUP BY {HASH_OF_FILE} HAVING n > 1 ORDER BY n DESC, min({PATH}) LIMIT {_MOST_REPEATED}"
        )
        result["repeated"] = [list(row) for row in connection.execute(repeated).fetchall()]
    if {HASH_OF_FILE, PATH, GROUP} <= names:
        result.update(_alike(connection, snapshot, rows))
    return result


def _alike(connection: duckdb.DuckDBPyConnection, snapshot: Dataset, rows: str) -> dict[str, Any]:
    """Groups of pictures that nearly are the same, and how many there are; copies of a file count once."""
    several = (
        f"SELECT {quoted(GROUP)} g, count(DISTINCT {HASH_OF_FILE}) n, count(DISTINCT split) splits, "
        f"list(DISTINCT label ORDER BY label) labels FROM ({rows}) GROUP BY 1 HAVING n > 1"
    )
    [total] = connection.execute(f"SELECT count(*) FROM ({several})").fetchall()
    # Those with different labels come first: one of them is wrong.
    shown = connection.execute(
        f"SELECT * FROM ({several}) ORDER BY len(labels) > 1 DESC, splits > 1 DESC, n DESC, g LIMIT {_MOST_ALIKE}"
    ).fetchall()
    groups = [
        {"pictures": count, "splits": splits, "labels": labels, "tiles": _members(connection, snapshot, rows, name)}
        for name, count, splits, labels in shown
    ]
    return {"alike": groups, "alike_in_all": total[0]}


def _members(connection: duckdb.DuckDBPyConnection, snapshot: Dataset, rows: str, name: str) -> list[dict[str, str]]:
    """Some different pictures of a group, small; only those are read."""
    chosen = connection.execute(
        f"SELECT min({{'path': {PATH}, 'split': split, 'number': number, 'label': label}}) FROM ({rows}) "
        f"WHERE {quoted(GROUP)} = {literal(name)} GROUP BY {HASH_OF_FILE} ORDER BY 1 LIMIT {_SHOWN_OF_EACH}"
    ).fetchall()
    tiles = []
    for (one,) in chosen:
        found = f"SELECT {quoted(IMAGE)} FROM {scan(snapshot, one['split'])} WHERE {NUMBER} = {one['number']}"
        [(content,)] = connection.execute(found).fetchall()
        if uri := _thumbnail(content):
            tiles.append({"class": str(one["label"]), "path": str(one["path"]), "uri": uri})
    return tiles


def _select(snapshot: Dataset, split: str, names: set[str]) -> str:
    columns = [quoted(name) for name in (PATH, WIDTH, HEIGHT, FORMAT, HASH_OF_FILE, GROUP) if name in names]
    columns += [f"{quoted(snapshot.info.label)} AS label"]  # its own name may be one of those behind it
    columns += [f"{literal(split)} AS split", f"{NUMBER} AS number"]
    return f"SELECT {', '.join(columns)} FROM {scan(snapshot, split)}"


def _tiles(connection: duckdb.DuckDBPyConnection, snapshot: Dataset, names: set[str]) -> list[dict[str, str]]:
    """A few pictures of each class in train, small enough to stand in a page."""
    classes = (snapshot.info.classes or [])[:_MOST_CLASSES]
    each = max(1, _TILES // max(len(classes), 1))
    label, path = quoted(snapshot.info.label), quoted(PATH) if PATH in names else "''"
    result = []
    for name in classes:
        # Evenly over the class's rows, and only the chosen pictures are read.
        numbers = connection.execute(
            f"SELECT {NUMBER} FROM {scan(snapshot, 'train')} WHERE {label} = {literal(name)} ORDER BY 1"
        ).fetchall()
        chosen = [number for (number,) in numbers[:: max(1, len(numbers) // each)]][:each]
        if not chosen:
            continue
        query = f"SELECT {path}, {quoted(IMAGE)} FROM {scan(snapshot, 'train')} "
        query += f"WHERE {NUMBER} IN ({', '.join(map(str, chosen))}) ORDER BY {NUMBER}"
        for place, content in connection.execute(query).fetchall():
            if uri := _thumbnail(content):
                result.append({"class": name, "path": str(place), "uri": uri})
    return result


def _thumbnail(content: bytes) -> str | None:
    """A small JPEG as a data URI; None where the bytes are no picture."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.thumbnail((_TILE_PIXELS, _TILE_PIXELS))
            small = ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
