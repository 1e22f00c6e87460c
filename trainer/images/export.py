"""From a trained network over pictures to what a bundle holds of it, proven.

What whoever trains hands over:

1. **The network as a Keras file** (`network.save("....keras")`), one input and one output, built without mixed
   precision: every layer computes in float32. After training in mixed precision, build the network again under the
   policy `float32` and `set_weights(trained.get_weights())`. The file is read with the TensorFlow backend, in a process
   of its own, whatever backend trained it: nothing but `keras.layers`, `keras.ops` and classes registered by
   `keras.saving.register_keras_serializable` in the modules named in `Network.modules`; no Lambda layers.
   - **Input**: float32 [N, height, width, 3], RGB, **0 to 255** as the pixels are, of the signature's size. The scaling
     that the backbone wants is layers of the network (`Rescaling`, ...), so that it travels with it.
   - **Output**: probabilities float32 [N, C], C >= 2, in the order of the signature's classes; of two classes too.
   - No augmentation in it. Dropout and batch normalization act as in inference.
2. **The trained network's own answer** (`Network.answer`): pixels uint8 [n, height, width, 3] -> probabilities [n, C],
   by the backend that trained it, in float32. `tolerance` is how far the graph may be from it; a GPU's own short forms
   of float32 (TF32) are not within 1e-4.
3. **Pictures** of the eval split with their class numbers, and some of the train split, as files' bytes. Training
   itself gets its pixels from `artifacts/pictures.py` (`decode`) and `trainer/images/resize.py` (`Resizer`), which are
   the graph's own.

Into the bundle go model.onnx and, where they are wanted, saved_model/ and tflite/. signature.json, and samples.json by
`trainer/images/samples.py`, are written by the caller, as for tables.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts import bundle as files
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_json, write_json
from headrace.artifacts.signature import Signature
from headrace.trainer.images.parity import check_parity
from headrace.trainer.parameters import Export

MOST_PICTURES = 256  # of the eval split: so many prove the export, and tell what a smaller file costs
REPRESENTATIVE = 128  # of the train split: so many say how large the numbers inside of the network become
TOLERANCE = 1e-4  # a network's sums of thousands of products, in another order

# Files of a request to the process that has TensorFlow
REQUEST, EVALUATION, TRAIN, RESULT = "request.json", "eval.parquet", "train.parquet", "result.json"


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        file: the Keras file; see above for what is in it.
        answer: pixels uint8 [n, height, width, 3] -> probabilities [n, C], as the network itself gives them.
        tolerance: how far the exported graph's answers may be from those.
        modules: to be imported before the file is read: they register its own classes.
    """

    file: Path
    answer: Callable[[np.ndarray], np.ndarray]
    tolerance: float = TOLERANCE
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pictures:
    """Image files' contents, and the numbers of their classes, int32 (n,)."""

    contents: Sequence[bytes]
    labels: np.ndarray

    def spread(self, most: int) -> Pictures:
        """At most so many of them, evenly over all."""
        count = len(self.contents)
        places = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
        return Pictures([self.contents[place] for place in places], np.asarray(self.labels)[places])


def export_images(
    folder: Path, network: Network, signature: Signature, evaluation: Pictures, train: Pictures, wanted: Export
) -> dict[str, Any]:
    """Writes what a bundle holds of a network, and proves or measures it.

    Args:
        folder: the bundle, while it is being written.
        network: the trained one.
        signature: its signature, with one input of type image.
        evaluation: of the eval split; of more than `MOST_PICTURES` so many are taken, evenly.
        train: of the train split, likewise `REPRESENTATIVE`; they set the steps of TensorFlow Lite's whole numbers.
        wanted: what is wanted beside model.onnx.

    Returns:
        for the lineage: `parity` {rows, largest_difference}; `saved_model` {rows, largest_difference, bytes} and
        `tflite` {precision: {bytes, accuracy, log_loss, largest_difference}, and the same of `onnx`}, where wanted.

    Raises:
        ExportError: the graph or the SavedModel does not answer as the network does; there must be no bundle.
        HeadraceError: the network is not as described above.
    """
    evaluation, train = evaluation.spread(MOST_PICTURES), train.spread(REPRESENTATIVE)
    with tempfile.TemporaryDirectory(prefix="headrace-export-") as name:
        request = Path(name)
        shutil.copyfile(network.file, request / "network.keras")
        about = {"modules": list(network.modules), "signature": signature.to_dict(), **asdict(wanted)}
        write_json(request / REQUEST, about)
        for file, pictures in ((EVALUATION, evaluation), (TRAIN, train)):
            columns = {"image": pa.array(pictures.contents, pa.binary()), "label": pa.array(pictures.labels)}
            pq.write_table(pa.table(columns), request / file)
        _run(request)
        found: dict[str, Any] = read_json(request / RESULT)
        for made in (files.MODEL, files.SAVED_MODEL, files.TFLITE):
            if (request / made).exists():
                shutil.move(request / made, folder / made)
    parity = check_parity(
        network.answer, folder / files.MODEL, signature, evaluation.contents, tolerance=network.tolerance
    )
    return {"parity": asdict(parity), **found}


def _run(request: Path) -> None:
    """Runs the export in a process of its own, in which Keras is on TensorFlow and no accelerator is seen.

    Raises:
        HeadraceError: it failed; the message is its own.
    """
    command = [sys.executable, "-m", "headrace.trainer.images.export_process", str(request)]
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONHASHSEED": "0",  # the converter's order of nodes follows from the order of sets
        "TF_ENABLE_ONEDNN_OPTS": "0",  # sums in one order, on every machine
    }
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode == 0:
        return
    if (request / RESULT).is_file():
        raise HeadraceError(json.loads((request / RESULT).read_text())["error"])
    print(done.stderr.decode(errors="replace"), file=sys.stderr)
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"its end with status {done.returncode}"])[-1]
    raise HeadraceError(f"export: expected the network as ONNX. Received: {last}")
