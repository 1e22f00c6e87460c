"""A check that is a plain function in a file beside the spec:

    from headrace.components.check import ValidationResult

    def ages(data):                                   # a pandas DataFrame: data, train, eval or test, as `split` says
        old = data[data.age > 120]
        return ValidationResult(old.empty, f"{len(old)} people older than 120", {"examples": old.id[:5].tolist()})

`True` and `False` will do, too. With `batches: true` the function gets an iterator of DataFrames instead, each of
at most 100,000 rows. The function's file travels in the compiled pipeline as text, so it can import what the
image has, but not the files beside it. It is your code: it may do whatever Python may.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.components.check.result import ValidationResult
from headrace.components.check.rows import parquet_files
from headrace.components.validate.spec import CustomCheck, ValidateSpec

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 100_000


def embed_functions(settings: ValidateSpec, folder: Path) -> ValidateSpec:
    """The same settings, with the text of each function's file in them.

    Args:
        settings: the spec's `validate` section.
        folder: the spec's, which the files are relative to.

    Raises:
        HeadraceError: a file is missing, no Python, or has no such function.
    """
    if not any(check.function for check in settings.checks):
        return settings
    checks = [
        check.model_copy(update={"source": _read(check.function, folder)}) if check.function else check
        for check in settings.checks
    ]
    return settings.model_copy(update={"checks": checks})


def function_files(settings: ValidateSpec) -> list[str]:
    """The files that the checks name, as the spec writes them."""
    return sorted({check.function.partition(":")[0] for check in settings.checks if check.function})


def run_function(snapshot: Dataset, check: CustomCheck) -> ValidationResult:
    """Calls the function. Whatever it raises, or returns that is no answer, it did not pass."""
    assert check.function is not None
    file, _, name = check.function.partition(":")
    try:
        answer = _load(check.source or "", file, name)(_argument(snapshot, check))
    except Exception as error:  # noqa: BLE001  the user's code may raise anything; it becomes the finding
        traceback.print_exc()
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        place = f"{file}, line {lines[-1]}" if lines else file
        return ValidationResult(False, f"{type(error).__name__}: {error} ({place})")
    if isinstance(answer, ValidationResult):
        return answer
    if type(answer).__name__ in ("bool", "bool_"):
        return ValidationResult(bool(answer), f"{name} returned {answer}")
    return ValidationResult(False, f"expected a ValidationResult, or a truth value. Received: {type(answer).__name__}")


def _read(function: str, folder: Path) -> str:
    file, _, name = function.partition(":")
    path = folder / file
    try:
        source = path.read_text(encoding="utf-8")
        compile(source, file, "exec")
    except OSError as error:
        raise HeadraceError(f"{path}: expected the file of a check. Received: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise HeadraceError(f"{path}{f':{line}' if line else ''}: expected Python. Received: {error}") from None
    if f"def {name}(" not in source:
        raise HeadraceError(f"{path}: expected a function `{name}`, which validate.checks names. Received: none")
    return source


def _load(source: str, file: str, name: str) -> Callable[[Any], Any]:
    """The function, from the text that the pipeline carries."""
    if not source:
        raise HeadraceError(f"expected the text of {file} in the compiled pipeline. Received: none; compile it again")
    module: dict[str, Any] = {"__name__": f"headrace_check_{Path(file).stem}", "__file__": file}
    exec(compile(source, file, "exec"), module)  # noqa: S102  the user's own check is what this step runs
    function: Callable[[Any], Any] = module[name]
    return function


def _argument(snapshot: Dataset, check: CustomCheck) -> pd.DataFrame | Iterator[pd.DataFrame]:
    import pyarrow.dataset as pads

    rows = pads.dataset([str(file) for file in parquet_files(snapshot)[check.split]], format="parquet")
    if check.batches:
        return (batch.to_pandas() for batch in rows.to_batches(batch_size=_ROWS) if batch.num_rows)
    frame: pd.DataFrame = rows.to_table().to_pandas()
    return frame
