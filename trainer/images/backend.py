"""What differs between the backends that Keras runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import keras

from headrace.trainer.parameters import MixedPrecision
from headrace.trainer.threads import tensorflow_threads

_AMPERE = 8.0  # compute capability: from here on, NVIDIA's chips multiply bfloat16
_POLICIES = {"none": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def reproducible(seed: int) -> None:
    """The same seed gives the same weights, with the same number of threads: TensorFlow's sums are rounded by it.

    So it is that of the cores that the task may have (`HEADRACE_CORES`), and not of those that happen to be free now.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        tensorflow = import_module("tensorflow")
        tensorflow.config.experimental.enable_op_determinism()
        threads = os.environ.get("HEADRACE_CORES") or os.environ.get("OMP_NUM_THREADS")
        if threads and threads.isdigit() and int(threads):
            tensorflow_threads(int(threads))


def policy(wanted: MixedPrecision) -> str:
    """The name of Keras's policy: `auto` is mixed where a GPU computes, in the 16 bits that it multiplies."""
    if wanted != "auto":
        return _POLICIES[wanted]
    capability = _capability()
    if capability is None:
        return "float32"
    return "mixed_bfloat16" if capability >= _AMPERE else "mixed_float16"


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Layers that are made inside have this policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _capability() -> float | None:
    """Of the first GPU; None where there is none."""
    if keras.backend.backend() == "tensorflow":
        tensorflow = import_module("tensorflow")
        devices = tensorflow.config.list_physical_devices("GPU")
        if not devices:
            return None
        major, minor = tensorflow.config.experimental.get_device_details(devices[0]).get("compute_capability", (0, 0))
        return float(f"{major}.{minor}")
    if keras.backend.backend() == "jax":
        devices = [device for device in import_module("jax").devices() if device.platform == "gpu"]
        return float(getattr(devices[0], "compute_capability", 0)) if devices else None
    return None
