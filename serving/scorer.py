"""Bytes in, bytes out: a prediction request's body to the answer's body. It knows nothing of HTTP.

Per request: one decode to structs, one dictionary look-up per category, one float64 matrix, one call of ONNX
Runtime on one thread, one encode. Neither pandas, scikit-learn nor `onnx` is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from headrace.artifacts.answer import predictions
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.graph_check import check_graph_file
from headrace.artifacts.signature import text_inputs
from headrace.artifacts.text_batches import text_slices
from headrace.serving.encode import Cell, Encoder
from headrace.serving.request import BadRequest, explain, instance_decoder


class Scored(NamedTuple):
    """An answer, and what the metrics count."""

    body: bytes
    rows: int
    unseen: int  # categories that training did not know


class Inputs(NamedTuple):
    """Rows of a table as `matrix.onnx` takes them."""

    matrix: npt.NDArray[np.float64]  # [N, F]
    texts: npt.NDArray[np.object_] | None  # [N, T] strings, of a model that has inputs of texts
    unseen: int  # categories that training did not know
    rows: Sequence[tuple[Cell, ...]] | None = None  # as they came, for the log


class Scores(Protocol):
    """What answers a request's body: a `Scorer` of tables, or one of images."""

    def score(self, body: bytes) -> Scored:
        """Scores one request."""


class Scorer:
    """One model, loaded. Safe to call from several threads. It is the codec of Vertex AI's protocol as well."""

    def __init__(self, bundle: Bundle, deployed_model_id: str | None = None) -> None:
        """Loads `matrix.onnx`. What is given of name, version and deployment is repeated in every answer.

        Raises:
            ArtifactError: ONNX Runtime refuses the graph, or it is not of the signature's shape.
        """
        self.signature = bundle.signature
        self._session = open_session(bundle.matrix)
        self._output = check_graph(self._session, bundle)
        # What InferenceSession.run calls after looking for missing inputs, which cannot be missing here: looking
        # takes a tenth of a whole request.
        self._run = self._session._sess.run
        self._instances = instance_decoder(bundle.signature)
        self._encoder = Encoder(bundle.signature)
        self._has_texts = bool(text_inputs(bundle.signature.inputs))
        self._encode = msgspec.json.Encoder().encode
        self._tail = about(bundle, deployed_model_id)

    def score(self, body: bytes) -> Scored:
        """Scores one request of Vertex AI's protocol.

        Raises:
            BadRequest: the body cannot be scored; the message is for the client.
        """
        inputs, known = self.decode(body)
        return Scored(self.encode(self.run(inputs), known), len(inputs.matrix), inputs.unseen)

    def decode(self, body: bytes) -> tuple[Inputs, None]:
        """A body {"instances": [...]} as what the model takes.

        Raises:
            BadRequest: see `score`.
        """
        astuple = msgspec.structs.astuple
        try:
            return self.inputs([astuple(instance) for instance in self._instances(body)]), None
        except BadRequest:
            raise
        except ValueError as error:  # a date that is none
            raise BadRequest(explain(body, self.signature, error)) from None

    def encode(self, outputs: npt.NDArray[np.float32], known: None = None) -> bytes:
        """The body {"predictions": [...], ...} of an answer."""
        return b'{"predictions":' + self._encode(predictions(self.signature, outputs)) + self._tail

    def inputs(self, rows: Sequence[tuple[Cell, ...]]) -> Inputs:
        """Rows of raw cells, in the signature's order, as what the model takes.

        Raises:
            ValueError: a date is none; the message says what was expected.
        """
        matrix, unseen = self._encoder.matrix(rows)
        return Inputs(matrix, self._encoder.texts(rows) if self._has_texts else None, unseen, rows)

    def run(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        """The model alone: N rows to its outputs [N, C] or [N, 1]."""
        matrix, texts = inputs[:2]
        if texts is not None or not len(matrix):
            return self._run_others(matrix, texts)
        outputs: npt.NDArray[np.float32] = self._run(self._output, {"matrix": matrix}, None)[0]
        return outputs

    def _run_others(
        self, matrix: npt.NDArray[np.float64], texts: npt.NDArray[np.object_] | None
    ) -> npt.NDArray[np.float32]:
        if texts is None or not len(matrix):
            return np.empty((0, max(1, len(self.signature.classes))), np.float32)
        lengths = np.array([sum(map(len, row)) for row in texts])
        parts = [
            self._run(self._output, {"matrix": matrix[rows], "texts": texts[rows]}, None)[0]
            for rows in text_slices(lengths)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def about(bundle: Bundle, deployed_model_id: str | None) -> bytes:
    """What every answer says of the model, as JSON that closes the object which {"predictions":[...] opened."""
    values = {
        "deployedModelId": deployed_model_id,
        "modelDisplayName": bundle.name,
        "modelVersionId": bundle.version,
    }
    given = msgspec.json.encode({key: value for key, value in values.items() if value is not None})
    return b"," + given[1:]


def open_session(file: Any) -> onnxruntime.InferenceSession:
    """Loads a graph for one thread on the CPU, once it is known that it asks for nothing that is not safe.

    Raises:
        ArtifactError: it is damaged or hostile, or ONNX Runtime refuses it.
    """
    check_graph_file(Path(file))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised; ONNX Runtime would also print it
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's exceptions have no common base but Exception)
        raise ArtifactError(f"{file}: expected a graph that ONNX Runtime can load. Received: {error}") from None


def check_graph(session: onnxruntime.InferenceSession, bundle: Bundle) -> list[str]:
    """Compares matrix.onnx with the signature; returns the names of the outputs to ask for.

    Raises:
        ArtifactError: they do not belong together.
    """
    width, texts = len(bundle.signature.inputs), len(text_inputs(bundle.signature.inputs))
    inputs = [(item.name, item.type, item.shape[1:]) for item in session.get_inputs()]
    wanted = [("matrix", "tensor(double)", [width]), *([("texts", "tensor(string)", [texts])] if texts else [])]
    if inputs != wanted:
        raise ArtifactError(f"{bundle.matrix}: expected the inputs {wanted}. Received: {inputs}")
    names = [item.name for item in session.get_outputs()]
    if bundle.signature.output not in names:
        raise ArtifactError(f"{bundle.matrix}: expected the output {bundle.signature.output}. Received: {names}")
    return [bundle.signature.output]
