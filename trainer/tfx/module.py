"""The user's code of the TFX pipeline, written once for all specs: what Transform and Trainer call.

Runs in the `tfx` environment. Numbers are standardized and put into buckets of equal size; categories get a
vocabulary; a network sees all of it, wide and deep. What was fitted lies in TFT's graph and nowhere else: the
signatures of the SavedModel and the graph that becomes ONNX run that very graph.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from tfx_bsl.public import tfxio

from headrace.trainer.tfx.expressions import evaluate
from headrace.trainer.tfx.plan import ENCODED, LABEL, MISSING, NUMBERS, PREDICTION, TEXTS, Plan, transformed

_TOP = 10_000  # values of a category that get a place
_BATCH = 256


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """What Transform fits: `number_I` float, `bucket_I` and `category_I` int64, and the label; all [N]."""
    plan = Plan.from_json(custom_config["plan"])
    outputs: dict[str, Any] = {}
    for place, column in plan.of_kind("number"):
        if column.feature:
            given = inputs[column.name]
            ones = tf.SparseTensor(given.indices, tf.ones_like(given.values), given.dense_shape)
            made = _number(_dense(given, 0.0), _dense(ones, 0.0), given.values, plan)
            outputs[transformed("number", place)], outputs[transformed("bucket", place)] = made
    for place, item in enumerate(plan.constructed, start=len(plan.columns)):
        raw = {name: tf.cast(_dense(inputs[name], math.nan), tf.float64) for name in item.reads}
        value = tf.cast(evaluate(item.tree, raw), tf.float32)
        missing = tf.math.is_nan(value)
        values = tf.where(missing, tf.zeros_like(value), value)
        known = tf.boolean_mask(value, tf.logical_not(missing))
        made = _number(values, 1 - tf.cast(missing, tf.float32), known, plan)
        outputs[transformed("number", place)], outputs[transformed("bucket", place)] = made
    for place, column in plan.of_kind("category"):
        if not column.feature:
            continue
        outputs[transformed("category", place)] = 1 + tft.compute_and_apply_vocabulary(
            _dense(inputs[column.name], MISSING),
            top_k=_TOP,
            default_value=-1,
            vocab_filename=transformed("category", place),
        )
    if plan.label in inputs:
        outputs[LABEL] = _label(_dense(inputs[plan.label], 0), plan)
    return outputs


def _number(values: Any, present: Any, known: Any, plan: Plan) -> tuple[Any, Any]:
    """A number standardized, 0 where it is missing, and its bucket, also 0 where it is missing; both [N].

    Args:
        values: [N], 0 where missing: NaN on the way would be NaN at the end, for ONNX multiplies with it.
        present: [N], 1 or 0.
        known: the values that are there, which it is fitted on.
        plan: says how many buckets.
    """
    mean, deviation = tft.mean(known), tf.sqrt(tft.var(known))
    scaled = (values - mean) / tf.where(deviation > 0, deviation, tf.ones_like(deviation))
    limits = tft.quantiles(known, plan.mlp["numeric_bins"], epsilon=0.01)
    reached = tf.cast(values[:, tf.newaxis] >= tf.reshape(limits, [1, -1]), tf.int64)
    bucket = tf.reduce_sum(reached, axis=1) + 1
    return scaled * present, bucket * tf.cast(present, tf.int64)


def run_fn(fn_args: Any) -> None:
    """What Trainer calls: trains until the eval split's loss gets no better, and writes the SavedModel."""
    plan = Plan.from_json(fn_args.custom_config["plan"])
    keras.utils.set_random_seed(plan.seed)
    fitted = tft.TFTransformOutput(fn_args.transform_output)
    settings = {**plan.mlp, **((fn_args.hyperparameters or {}).get("values", {}))}
    train, evaluation = (_rows(fn_args, files, fitted) for files in (fn_args.train_files, fn_args.eval_files))
    model = network(plan, fitted, settings)
    stop = keras.callbacks.EarlyStopping(patience=settings["early_stopping_epochs"], restore_best_weights=True)
    shuffled = train.unbatch().shuffle(100_000, seed=plan.seed).batch(_BATCH)
    model.fit(shuffled, validation_data=evaluation, epochs=settings["epochs"], callbacks=[stop], verbose=2)
    save(plan, model, fitted, fn_args.serving_model_dir)


def tuner_fn(fn_args: Any) -> Any:
    """What Tuner calls: a random search over width, dropout and the learning rate."""
    import keras_tuner
    from tfx.components.tuner.component import TunerFnResult

    plan = Plan.from_json(fn_args.custom_config["plan"])
    fitted = tft.TFTransformOutput(fn_args.transform_graph_path)

    def build(found: keras_tuner.HyperParameters) -> Any:
        units = found.Choice("first_layer", [32, 64, 128])
        settings = {
            **plan.mlp,
            "hidden_units": [units, units // 2],
            "dropout": found.Float("dropout", 0.0, 0.5, step=0.1),
            "learning_rate": found.Float("learning_rate", 1e-4, 1e-2, sampling="log"),
        }
        return network(plan, fitted, settings)

    tuner = keras_tuner.RandomSearch(
        build, objective="val_loss", max_trials=plan.tune, seed=plan.seed, directory=fn_args.working_dir
    )
    return TunerFnResult(
        tuner=tuner,
        fit_kwargs={
            "x": _rows(fn_args, fn_args.train_files, fitted),
            "validation_data": _rows(fn_args, fn_args.eval_files, fitted),
            "epochs": min(20, plan.mlp["epochs"]),
        },
    )


def network(plan: Plan, fitted: tft.TFTransformOutput, settings: dict[str, Any]) -> Any:
    """Transformed features -> [N, 1] or [N, classes], compiled."""
    if "first_layer" in settings:  # as the Tuner found it
        settings = {**settings, "hidden_units": [settings["first_layer"], settings["first_layer"] // 2]}
    inputs: dict[str, Any] = {}
    deep, wide = [], []
    for place in plan.features("number"):
        name = transformed("number", place)
        inputs[name] = keras.Input((), name=name, dtype=tf.float32)
        deep.append(keras.layers.Reshape((1,))(inputs[name]))
    codes = [(transformed("bucket", place), settings["numeric_bins"] + 1) for place in plan.features("number")]
    codes += [
        (name, int(fitted.vocabulary_size_by_name(name)) + 1)
        for name in (transformed("category", place) for place in plan.features("category"))
    ]
    for name, size in codes:
        inputs[name] = keras.Input((), name=name, dtype=tf.int64)
        deep.append(keras.layers.Embedding(size, settings["embedding_size"])(inputs[name]))
        wide.append(keras.layers.Embedding(size, plan.outputs, embeddings_initializer="zeros")(inputs[name]))
    hidden = keras.layers.concatenate(deep)
    for units in settings["hidden_units"]:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(settings["dropout"])(hidden)
    score = keras.layers.add([keras.layers.Dense(plan.outputs)(hidden), *(wide if settings["wide"] else [])])
    if plan.task == "regression":
        activation, loss = "linear", "mse"
    elif plan.outputs == 1:
        activation, loss = "sigmoid", "binary_crossentropy"
    else:
        activation, loss = "softmax", "sparse_categorical_crossentropy"
    model = keras.Model(inputs, keras.layers.Activation(activation)(score))
    optimizer = keras.optimizers.AdamW(settings["learning_rate"], weight_decay=settings["weight_decay"])
    model.compile(optimizer, loss)
    return model


class Served(tf.Module):  # type: ignore[misc]
    """What is saved: the network behind TFT's graph, by three signatures."""

    def __init__(self, plan: Plan, model: Any, fitted: tft.TFTransformOutput) -> None:
        super().__init__()
        self.plan_text = plan.to_json()
        self._plan, self.model, self.transform = plan, model, fitted.transform_features_layer()
        self._spec = {
            name: feature
            for name, feature in fitted.raw_feature_spec().items()
            if name in {column.name for column in plan.columns}
        }
        self._labelled = fitted.raw_feature_spec()

    def answer(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Raw features, sparse -> the network's answer."""
        found = self.transform(raw)
        return {PREDICTION: self.model({name: found[name] for name in self.model.input_names}, training=False)}

    def serve(self, examples: Any) -> dict[str, Any]:
        """Serialized tf.Examples -> the answer: what TFX evaluates, and TensorFlow Serving serves."""
        return self.answer(tf.io.parse_example(examples, self._spec))

    def features(self, examples: Any) -> dict[str, Any]:
        """Serialized tf.Examples with the label -> transformed features: what the Evaluator takes the label from."""
        found = self.transform(tf.io.parse_example(examples, self._labelled))
        return {name: tf.expand_dims(value, -1) if value.shape.rank == 1 else value for name, value in found.items()}

    def encoded(self, numbers: Any, texts: Any) -> dict[str, Any]:
        """Numbers float64 [N, K] with NaN where missing, and texts [N, T] -> the answer."""
        raw = {}
        for place, (_, column) in enumerate(self._plan.of_kind("number")):
            values = tf.cast(numbers[:, place : place + 1], tf.float32)
            raw[column.name] = _sparse(values, tf.logical_not(tf.math.is_nan(values)))
        for place, (_, column) in enumerate(self._plan.of_kind("category")):
            values = texts[:, place : place + 1]
            raw[column.name] = _sparse(values, tf.ones(tf.shape(values), tf.bool))  # a missing one is `MISSING`
        return self.answer(raw)


def save(plan: Plan, model: Any, fitted: tft.TFTransformOutput, folder: str) -> None:
    """Writes the SavedModel."""
    served = Served(plan, model, fitted)
    examples = [tf.TensorSpec([None], tf.string, name="examples")]
    encoded = [
        tf.TensorSpec([None, len(plan.of_kind("number"))], tf.float64, name=NUMBERS),
        tf.TensorSpec([None, len(plan.of_kind("category"))], tf.string, name=TEXTS),
    ]
    tf.saved_model.save(
        served,
        folder,
        signatures={
            "serving_default": tf.function(served.serve, input_signature=examples).get_concrete_function(),
            "transform_features": tf.function(served.features, input_signature=examples).get_concrete_function(),
            ENCODED: tf.function(served.encoded, input_signature=encoded).get_concrete_function(),
        },
    )


def _rows(fn_args: Any, files: list[str], fitted: tft.TFTransformOutput) -> tf.data.Dataset:
    options = tfxio.TensorFlowDatasetOptions(batch_size=_BATCH, label_key=LABEL, num_epochs=1, shuffle=False)
    schema = fitted.transformed_metadata.schema
    return fn_args.data_accessor.tf_dataset_factory(files, options, schema).cache()


def _label(values: Any, plan: Plan) -> Any:
    if len(plan.classes) == 2:
        return tf.cast(tf.equal(values, plan.classes.index(str(plan.positive))), tf.int64)
    return values


def _dense(given: Any, missing: float | str) -> Any:
    """A column [N] of an optional feature. Written with a scatter: of the ways to say it, the one that ONNX knows."""
    rows = tf.cast(given.dense_shape[0], tf.int64)
    empty = tf.fill(tf.stack([rows]), tf.constant(missing, given.dtype))
    return tf.tensor_scatter_nd_update(empty, given.indices[:, :1], given.values)


def _sparse(values: Any, present: Any) -> Any:
    """A column [N, 1] as an optional feature, as parsing a tf.Example gives it."""
    places = tf.where(present)
    return tf.SparseTensor(places, tf.gather_nd(values, places), tf.shape(values, out_type=tf.int64))
