"""Threads, where what is computed would depend on how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products of vectors and matrices are computed by one thread inside, whatever the machine has.

    Several threads each add up a part, and the sum's last bits depend on how many parts there are: the same spec and
    data would give another model on another machine. What was allowed before is allowed again behind it.
    """
    import scipy.linalg  # noqa: F401  SciPy has a BLAS beside NumPy's: one that is loaded later would not be told
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def tensorflow_threads(count: int) -> None:
    """Has TensorFlow share an operation among so many threads, if it has not begun to compute: then it says so."""
    tensorflow = import_module("tensorflow")
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(count)
    except RuntimeError:
        kept = tensorflow.config.threading.get_intra_op_parallelism_threads()
        if kept != count:
            print(f"TensorFlow keeps its threads: {kept}")
