"""The training's curves as TensorBoard reads them: its event files, written without TensorBoard, which is not here."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.summary_pb2 import Summary
from tensorflow.core.util.event_pb2 import Event

_VERSION = "brain.Event:2"


def write(folder: Path, metric: str, curve: Mapping[str, Sequence[float]]) -> None:
    """Writes a run for each split below the folder, with the metric after each round, from 1."""
    now = time.time()
    name = f"events.out.tfevents.{int(now)}.{socket.gethostname()}"
    for split, values in curve.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(folder / split / name)) as writer:
            writer.write(Event(wall_time=now, file_version=_VERSION).SerializeToString())
            for step, value in enumerate(values, 1):
                summary = Summary(value=[Summary.Value(tag=metric, simple_value=value)])
                writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
