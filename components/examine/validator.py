"""TFDV's validation of statistics, without the import of TensorFlow and Beam.

`tensorflow_data_validation` imports both, for four seconds, before its C++ validator may be called; that needs neither.
Here the validator's extension module is loaded by itself, and handed what `tfdv.validate_statistics` hands it.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

_PACKAGE = "tensorflow_data_validation"
_FOLDER, _EXTENSION = "pywrap", "tensorflow_data_validation_extension"

DatasetList: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


def validate_statistics(
    statistics: DatasetList,
    schema: schema_pb2.Schema,
    environment: str | None = None,
    previous_statistics: DatasetList | None = None,
    serving_statistics: DatasetList | None = None,
) -> anomalies_pb2.Anomalies:
    """As `tfdv.validate_statistics`, for lists of one dataset each.

    Raises:
        ValueError: a list has not one dataset, or the schema has no such environment.
        ImportError: TFDV is not installed, or keeps its validator elsewhere.
    """
    if environment is not None and environment not in schema.default_environment:
        known = ", ".join(schema.default_environment) or "none"
        raise ValueError(f"environment: expected one of the schema's ({known}). Received: {environment!r}")
    features_needed = validation_config = b""  # empty messages: TFDV's defaults
    found = _validator().ValidateFeatureStatistics(
        _only(statistics),
        schema.SerializeToString(),
        (environment or "").encode(),
        _only(previous_statistics) if previous_statistics else b"",
        _only(serving_statistics) if serving_statistics else b"",
        b"",  # of the previous version of the same span
        features_needed,
        validation_config,
        False,  # how the schema would have to change is not asked for
    )
    return anomalies_pb2.Anomalies.FromString(found)


def _only(statistics: DatasetList) -> bytes:
    if len(statistics.datasets) != 1:
        raise ValueError(f"statistics: expected one dataset. Received: {len(statistics.datasets)}")
    content: bytes = statistics.datasets[0].SerializeToString()
    return content


@cache
def _validator() -> Any:
    name = f"{_PACKAGE}.{_FOLDER}.{_EXTENSION}"
    if name not in sys.modules:
        # Under its real name, so that an import of the package that comes later finds it and does not load it twice.
        sys.modules[name] = _loaded(name)
    return sys.modules[name].validation


def _loaded(name: str) -> Any:
    package = importlib.util.find_spec(_PACKAGE)  # finds it, and imports nothing
    for folder in package.submodule_search_locations or () if package else ():
        for file in Path(folder, _FOLDER).glob(f"{_EXTENSION}*.so"):
            spec = importlib.util.spec_from_file_location(name, file)
            assert spec and spec.loader  # there are for a file that is an extension module
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"{name}: expected it in the environment of this step. Received: none")
