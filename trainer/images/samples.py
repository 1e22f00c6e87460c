"""A bundle's own examples of pictures: instances with small image files, and the answers that its server must give."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from headrace.artifacts.answer import predictions
from headrace.artifacts.pictures import decode
from headrace.artifacts.raw_inputs import open_graph, run_pictures
from headrace.artifacts.signature import Signature
from headrace.trainer.images.export import Pictures
from headrace.trainer.images.resize import Resizer

COUNT = 16
MOST_BYTES = 32 * 1024  # of a file that goes into the bundle as it is


def samples(pictures: Pictures, model: Path, signature: Signature) -> dict[str, Any]:
    """Some pictures of each class in turn, with the model's predictions, in the server's form.

    A large file is replaced by one of the network's own size: a bundle is no album.
    """
    item = signature.image
    assert item is not None
    resize = Resizer(item)
    contents = [_small(pictures.contents[place], resize) for place in _in_turn(pictures.labels)]
    answers = run_pictures(open_graph(model), contents)
    instances = [{item.name: {"b64": base64.b64encode(content).decode()}} for content in contents]
    return {"instances": instances, "predictions": predictions(signature, answers)}


def _in_turn(labels: np.ndarray) -> Iterator[int]:
    """The places of at most `COUNT` pictures: the first of each class, then the second of each, and so on."""
    turns = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turns[own] = np.arange(len(own))
    yield from (int(place) for place in np.argsort(turns, kind="stable")[:COUNT])


def _small(content: bytes, resize: Resizer) -> bytes:
    from PIL import Image

    if len(content) <= MOST_BYTES and content.startswith((b"\xff\xd8", b"\x89PNG")):
        return content
    stream = io.BytesIO()
    Image.fromarray(resize(decode(content))).save(stream, format="JPEG", quality=90)
    return stream.getvalue()
