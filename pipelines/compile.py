"""Compiles a spec to Kubeflow Pipelines IR: the same spec and code give the same bytes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from headrace.artifacts.folder import write_text
from headrace.components.check.function_check import embed_functions
from headrace.components.train.own_module import embed_module
from headrace.components.train.weights_file import with_weights
from headrace.pipelines.kfp_import import import_kfp
from headrace.pipelines.resources import write_resources
from headrace.pipelines.spec import Spec, load_spec


def compile_spec(file: Path, output: Path) -> Spec:
    """Compiles a spec's training pipeline to a YAML file, written atomically.

    Raises:
        HeadraceError: the spec or its schema has a mistake.
    """
    spec = load_spec(file)
    write_text(output, training_ir(with_functions(spec, file), schema_text(spec, file)))
    return spec


def compile_prediction(file: Path, output: Path) -> Spec:
    """Compiles the prediction pipeline of a spec's model to a YAML file, written atomically.

    Raises:
        HeadraceError: the spec has a mistake.
    """
    spec = load_spec(file)
    write_text(output, prediction_ir(spec))
    return spec


def prediction_ir(spec: Spec) -> str:
    """The IR of the prediction pipeline of a spec's model as YAML text."""
    import_kfp()
    from headrace.pipelines.prediction import prediction_pipeline

    return _ir(prediction_pipeline(spec), spec)


def training_ir(spec: Spec, schema: str) -> str:
    """The IR of a spec's training pipeline as YAML text."""
    import_kfp()
    from headrace.pipelines.training import training_pipeline

    return _ir(training_pipeline(spec, schema), spec)


def _ir(pipeline: Any, spec: Spec) -> str:
    from kfp import compiler

    write_resources(pipeline, spec.resources)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pipeline.yaml")  # noqa: PTH118 (the compiler wants a str)
        compiler.Compiler().compile(pipeline, path)
        return Path(path).read_text(encoding="utf-8")


def with_functions(spec: Spec, file: Path) -> Spec:
    """The spec with the text of the files that it names: functions of its checks, a model of the user's own; and with
    the place and the digest of the weights that a network begins with.

    Raises:
        HeadraceError: such a file is missing, no Python, or has no such function.
    """
    validation = embed_functions(spec.validation, file.parent)
    train = with_weights(embed_module(spec.train, file.parent), file.parent)
    if validation is spec.validation and train is spec.train:
        return spec
    return spec.model_copy(update={"validation": validation, "train": train})


def schema_text(spec: Spec, file: Path) -> str:
    """The curated schema of a spec, checked; empty where it has none yet.

    Raises:
        ArtifactError: the schema file is damaged, or of a newer format.
    """
    path = file.parent / spec.validation.schema_file
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    from headrace.artifacts.schema import parse_schema

    parse_schema(text, str(path))
    return text
