"""What TFX's side of the taxi benchmark produced: read from its outputs, after the clock has stopped.

Runs in the `tfx` environment and prints one JSON object:
`{"accuracy", "base_rate", "rows", "split", "blessed", "pushed"}`. Accuracy is the one which TFX's Evaluator
measured and blessed the model by; `rows` and `base_rate` (the accuracy of always answering the commoner
class) are counted on the same split.
"""

import argparse
import json
import sys
from pathlib import Path

import tensorflow as tf
import tensorflow_model_analysis as tfma

# The only split that the example's Evaluator reads: a third of the rows. Training only logs its loss there.
SPLIT = "eval"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    pipelines = parser.parse_args().root / "pipelines"
    metrics = tfma.load_eval_result(str(newest(pipelines / "Evaluator" / "evaluation"))).get_metrics_for_all_slices()
    rows, positive = label_counts(newest(pipelines / "CsvExampleGen" / "examples") / f"Split-{SPLIT}")
    quality = {
        "accuracy": metrics[()]["binary_accuracy"]["doubleValue"],
        "base_rate": max(positive, rows - positive) / rows,
        "rows": rows,
        "split": SPLIT,
        "blessed": (newest(pipelines / "Evaluator" / "blessing") / "BLESSED").exists(),
        "pushed": any((pipelines.parent / "serving_model").glob("*/saved_model.pb")),
    }
    json.dump(quality, sys.stdout)


def newest(outputs: Path) -> Path:
    """The folder of the latest execution: TFX names them by a growing number."""
    return max((folder for folder in outputs.iterdir()), key=lambda folder: int(folder.name))


def label_counts(examples: Path) -> tuple[int, int]:
    """Rows, and rows with tips above a fifth of the fare: in float32 and with missing as 0, as there."""
    files = [str(path) for path in sorted(examples.glob("*.gz"))]
    rows = positive = 0
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(4096):
        columns = tf.io.parse_example(
            record,
            {name: tf.io.FixedLenFeature([], tf.float32, default_value=0.0) for name in ("tips", "fare")},
        )
        rows += int(record.shape[0])
        positive += int(tf.reduce_sum(tf.cast(columns["tips"] > columns["fare"] * 0.2, tf.int64)))
    return rows, positive


if __name__ == "__main__":
    main()
