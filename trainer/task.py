"""Training as a job of its own: what a Vertex AI custom job, or any container, runs.

    python -m headrace.trainer.task --dataset DIR --transform DIR --schema DIR --name churn --output DIR

The arguments name artifacts as the pipeline's steps write them; gs://bucket/a is read at /gcs/bucket/a, where Vertex
mounts it. What Vertex says by variables is taken where no argument says otherwise:

    AIP_MODEL_DIR                      --output
    AIP_CHECKPOINT_DIR                 where a training that was ended leaves how far it came, for the next one
    AIP_TENSORBOARD_LOG_DIR            --logs: the training metric after each round, as TensorBoard reads it
    AIP_DATA_FORMAT, AIP_TRAINING_DATA_URI, AIP_VALIDATION_DATA_URI, AIP_TEST_DATA_URI
                                       rows of a managed dataset, instead of --dataset: --label and --task say what of
                                       them is predicted

SIGTERM, which a machine sends before it is taken away, ends the training with exit code 143. Started again with the
same checkpoints, a network goes on after its last whole epoch and becomes the same; other kinds begin anew, and become
the same too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST
from headrace.artifacts.gains import Gains
from headrace.artifacts.schema import FILE, read_schema
from headrace.artifacts.transform import open_transform
from headrace.trainer.checkpoints import mounted
from headrace.trainer.parameters import PARAMETERS, Export, Training
from headrace.trainer.tabular import train
from headrace.trainer.vertex_rows import URIS, write_snapshot

_IMAGES = "cnn"
_IMAGE_TRAINER = "headrace.trainer.images.train"
_SUMMARIES = "headrace.trainer.network.summaries"


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains one model; returns the process's exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.output is None:
        parser.error("expected --output or AIP_MODEL_DIR. Received: neither")
    if given.dataset is None and not (os.environ.get(URIS["train"]) and given.label):
        parser.error(f"expected --dataset, or {URIS['train']} with --label. Received: neither")
    if given.model == _IMAGES and given.dataset is None:
        parser.error(f"expected --dataset with --model {_IMAGES}. Received: none")
    if given.model != _IMAGES and given.transform is None:
        parser.error(f"expected --transform with --model {given.model}. Received: none")
    training = _training(given, parser)
    signal.signal(signal.SIGTERM, _ended)
    try:
        trained = _run(given, training)
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{given.output}: {trained.digest}, {trained.model.rounds} rounds")
    return 0


def _parser() -> argparse.ArgumentParser:
    env = os.environ.get
    parser = argparse.ArgumentParser(
        prog="headrace.trainer.task", description="Train one model for a table or for pictures."
    )
    parser.add_argument("--dataset", type=_place, help="a dataset snapshot")
    parser.add_argument("--transform", type=_place, help="a fitted transform; pictures have none")
    parser.add_argument("--schema", type=_place, required=True, help="the schema the data was validated against")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--output", type=_place, default=env("AIP_MODEL_DIR") or None, help="the bundle's folder")
    parser.add_argument("--logs", type=_place, default=env("AIP_TENSORBOARD_LOG_DIR") or None, help="for TensorBoard")
    parser.add_argument("--model", choices=sorted(PARAMETERS), default="gbdt", help="the kind of model")
    parser.add_argument("--parameters", type=json.loads, default={}, metavar="JSON", help="of that kind, by name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--class-weight", type=_word_or_json, help="`balanced`, or JSON: class -> weight")
    parser.add_argument("--sample-weight", help="the column that says how much a row counts")
    parser.add_argument("--calibrate", choices=("none", "sigmoid", "isotonic", "temperature"), default="none")
    parser.add_argument("--threshold", type=_number_or_word, default=0.5, help="a number, `f1`, `youden`, `value`")
    parser.add_argument(
        "--gains", type=json.loads, metavar="JSON", help="for `value`: outcome -> {plus, column, times}"
    )
    parser.add_argument("--saved-model", action="store_true", help="also as a SavedModel of TensorFlow")
    parser.add_argument("--tflite", nargs="*", choices=("float32", "float16", "int8"), default=(), help="also these")
    parser.add_argument("--label", help="the column to predict, of rows of a managed dataset")
    parser.add_argument("--task", choices=("classification", "regression"), default="classification")
    parser.add_argument("--positive", help="of two classes the one whose probability is the score")
    return parser


def _place(text: str) -> Path:
    return Path(mounted(text))


def _word_or_json(text: str) -> Any:
    return text if text == "balanced" else json.loads(text)


def _number_or_word(text: str) -> Any:
    return text if text in ("value", "f1", "youden") else float(text)


def _training(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Training:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.parameters.items()}
    if given.model == "module" and "file" in values and "text" not in values:
        values["text"] = _place(str(values["file"])).read_text()
    try:
        parameters = PARAMETERS[given.model](**values)
    except TypeError as error:
        parser.error(f"--parameters: expected those of {given.model} by name. Received: {error}")
    export = Export(given.saved_model, tuple(given.tflite))
    weights = given.class_weight, given.sample_weight
    gains = Gains.from_dict(given.gains) if given.gains else None
    threshold = given.threshold, gains if given.threshold == "value" else None
    return Training(given.model, parameters, given.seed, *weights, given.calibrate, export, *threshold)


def _run(given: argparse.Namespace, training: Training) -> Any:
    """Trains; returns a `Trained`, or of pictures a `TrainedImages`."""
    read_schema(given.schema)
    if given.output.is_dir() and (given.output / MANIFEST).exists():
        raise HeadraceError(f"{given.output}: expected a place that is still free. Received: a bundle")
    with tempfile.TemporaryDirectory(prefix="headrace-") as work:
        dataset = given.dataset
        if dataset is None:
            opened = open_transform(given.transform)
            if opened.out_of_fold is not None:
                raise HeadraceError(
                    "--transform: expected one whose features are not fitted on the label: what it holds for its own "
                    "train rows is not for the rows of another source. Received: target encodings"
                )
            dataset = Path(work) / "dataset"
            write_snapshot(os.environ, opened.recipe, given.label, given.task, given.positive, dataset)
        # A bucket that is mounted cannot rename folders: the bundle is made here, and copied.
        bundle = Path(work) / "bundle"
        rest = given.schema / FILE, given.name, training, _origin(), bundle
        if training.kind == _IMAGES:
            trained = import_module(_IMAGE_TRAINER).train(dataset, *rest)
        else:
            trained = train(dataset, given.transform, *rest)
        _deliver(bundle, given.output)
        if given.logs is not None:
            _log(given.logs, trained)
    return trained


def _origin() -> dict[str, str]:
    """The Vertex job that this is, where it is one."""
    job = os.environ.get("CLOUD_ML_JOB_ID")
    return {"vertex_job": job} if job else {}


def _deliver(bundle: Path, output: Path) -> None:
    """Copies a bundle, the manifest last: without it, it is none."""
    shutil.copytree(
        bundle, output, dirs_exist_ok=True, ignore=lambda folder, _: [MANIFEST] if folder == str(bundle) else []
    )
    shutil.copyfile(bundle / MANIFEST, output / MANIFEST)


def _log(folder: Path, trained: Any) -> None:
    import_module(_SUMMARIES).write(folder, trained.model.metric, trained.model.curve)


def _ended(*_: object) -> NoReturn:
    print("ended by SIGTERM: started again, it goes on from its checkpoint where it has one", file=sys.stderr)
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
