"""How far two answers of what should be one model are apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_FINER = 1e-3  # of an answer's unit: values that spread less are compared in a unit that much larger than their spread


def unit_of(values: npt.ArrayLike) -> float:
    """What differences of a regression's values are told in: how far the values spread, where that is more than 1.

    A sum of float32 numbers errs by a share of what was summed, also where the sum itself is near 0. So of profits in
    the thousands, a value of 0.5 may be 0.0001 off; and of values that spread by 0.0001, it may not.

    >>> [round(unit_of(values), 6) for values in ([-3000.0, 0.0, 3000.0], [0.1, 0.2], [1e-6, 3e-6])]
    [2449.489743, 1.0, 0.001]
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    most = float(np.abs(known).max(initial=0.0)) or 1.0
    spread = most * float(np.std(known / most)) if known.size else 0.0  # whose squares might overflow
    return min(max(1.0, spread), spread / _FINER) or 1.0


def differences(got: npt.ArrayLike, expected: npt.ArrayLike, unit: float = 1.0) -> npt.NDArray[np.float64]:
    """How far each row's answer is off, in units, or of greater answers as a share of them, (N,).

    Args:
        got: (N, C) answers in float32, as servers give them.
        expected: (N, C) those of the trained model. One that float32 cannot hold is infinite there.
        unit: 1 for probabilities, else `unit_of` the model's values.

    Returns:
        the greatest of each row; infinite where an answer is none.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        wide, given = np.asarray(expected, np.float64), np.asarray(got, np.float64)
        apart = np.abs(given - wide) / np.maximum(unit, np.abs(wide))
        same = given == wide.astype(np.float32)
    return np.asarray(np.nan_to_num(np.where(same, 0.0, apart), nan=np.inf, posinf=np.inf).max(axis=1, initial=0.0))
