"""A user's own model: a module beside the spec with a function `fit`, in the same pipeline under the same guarantees.

    def fit(job):                          # headrace.trainer.model.Job; job.parameters is the spec's train.parameters
        model = RandomForestClassifier(random_state=job.seed)
        return model.fit(job.train.features, job.train.labels, job.train.weights)

It returns a scikit-learn estimator, a LightGBM one, a Keras model, an `onnx.ModelProto` or a `trainer.model.Model`.
What comes back becomes ONNX (`trainer/foreign.py`), and is proven equal to what was trained. docs/models.md says it at
length.
"""

from __future__ import annotations

import linecache
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.foreign import Own, own_model
from headrace.trainer.model import Job
from headrace.trainer.parameters import ModuleParameters

NAME = "headrace_own_model"
FUNCTION = "fit"
_MOST_TOLERANCE = 0.01


class ModuleError(HeadraceError):
    """The user's own module failed; the message holds its own traceback."""


@dataclass
class _Told:
    """Passes rounds on, and remembers what was raised there: a pruned trial is no error of the module's."""

    on_round: Callable[[int, float], None]
    raised: BaseException | None = None

    def __call__(self, number: int, value: float) -> None:
        try:
            self.on_round(number, value)
        except BaseException as error:
            self.raised = error
            raise


def fit(job: Job) -> Own:
    """Runs the module's `fit`, and converts what it returns.

    Raises:
        ModuleError: the module raised something, or cannot be converted.
        HeadraceError: it returned no model of this label.
    """
    parameters: ModuleParameters = job.parameters
    file = parameters.file
    random.seed(job.seed)
    np.random.seed(job.seed)  # of libraries that draw from the global one
    told = None if job.on_round is None else _Told(job.on_round)
    with _blamed(file, told):
        module = load(parameters.text, file)
        returned = getattr(module, FUNCTION)(replace(job, parameters=dict(parameters.parameters), on_round=told))
    tolerance = _tolerance(module, file)
    with _blamed(file, told):
        return own_model(returned, job, dict(parameters.parameters), tolerance, file)


def load(text: str, file: str) -> ModuleType:
    """The module, from the text that the pipeline carries.

    Raises:
        HeadraceError: there is no text, or no function `fit` in it.
    """
    if not text:
        raise HeadraceError(f"expected the text of {file} in the compiled pipeline. Received: none; compile it again")
    module = ModuleType(NAME)
    module.__file__ = file
    # So that a traceback shows the lines, and that dataclasses and Keras find their own module.
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[NAME] = module
    exec(compile(text, file, "exec"), module.__dict__)  # noqa: S102  the user's own model is what this step trains
    if not callable(getattr(module, FUNCTION, None)):
        raise HeadraceError(f"{file}: expected a function `{FUNCTION}(job)`. Received: none")
    return module


def _tolerance(module: ModuleType, file: str) -> float | None:
    """How far the graph may be from the model, where the module says so itself."""
    value = getattr(module, "TOLERANCE", None)
    if value is None or (isinstance(value, int | float) and 0 < value <= _MOST_TOLERANCE):
        return value
    raise HeadraceError(f"{file}: expected TOLERANCE above 0 and up to {_MOST_TOLERANCE:g}. Received: {value!r}")


@contextmanager
def _blamed(file: str, told: _Told | None) -> Iterator[None]:
    """Turns what the user's code raises into an error that shows its own traceback, from its own first line on."""
    try:
        yield
    except HeadraceError:
        raise
    except (Exception, SystemExit) as error:
        if told is not None and error is told.raised:
            raise
        raise ModuleError(_message(error, file)) from error


def _message(error: BaseException, file: str) -> str:
    frames: Any = traceback.extract_tb(error.__traceback__)
    own = [place for place, frame in enumerate(frames) if frame.filename == file]
    where = f"{file}, line {frames[own[-1]].lineno}" if own else file
    shown = traceback.StackSummary.from_list(frames[own[0] :] if own else frames)
    said = "".join(traceback.format_exception_only(error))
    lines = f"Traceback (most recent call last):\n{''.join(shown.format())}{said}".rstrip()
    return f"expected {FUNCTION}(job) of {file} to return a model. Received: an error in {where}\n\n{lines}"
