"""A Keras network as a function of TensorFlow with its weights in it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from headrace.artifacts.signature import Input


def frozen(network: Any, item: Input, rows: int | None = None, compiled: bool = True) -> Any:
    """Pixels float32 [rows, height, width, 3] -> [probabilities [rows, C]]; `rows` None takes any number.

    Keras has convolutions by groups compiled by XLA, since TensorFlow lacks them on the CPU. Who converts the graph
    cannot look into such a function: without `compiled`, what is in it stands in the graph.
    """
    spec = tf.TensorSpec([rows, item.height, item.width, 3], tf.float32, name=item.name)
    function = tf.function(lambda pixels: network(pixels, training=False), input_signature=[spec], autograph=False)
    if compiled:
        return convert_variables_to_constants_v2(function.get_concrete_function())
    tf.config.run_functions_eagerly(True)  # functions inside of this one, that is: it is not run
    try:
        return convert_variables_to_constants_v2(function.get_concrete_function())
    finally:
        tf.config.run_functions_eagerly(False)
