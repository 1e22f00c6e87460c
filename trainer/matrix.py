"""From a split's raw columns to what a learner takes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.transform import TransformFiles
from headrace.trainer.model import Features


def feature_matrix(transform: TransformFiles, table: pa.Table, split: str) -> Features:
    """The features of a split's rows, all of them and in their order, float32 (rows, W).

    Of the train split, features that were fitted on the label take the values that were made out of fold: a row must
    not be described by its own label.
    """
    features = run_graph(open_graph(transform.graph), table, transform.recipe.inputs)
    if split == "train" and transform.out_of_fold is not None:
        places = {feature.name: place for place, feature in enumerate(transform.recipe.outputs)}
        held_out = pq.read_table(transform.out_of_fold)
        for name in held_out.column_names:
            features[:, places[name]] = held_out[name].to_numpy()
    return np.asarray(features)
