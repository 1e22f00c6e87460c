"""Runs in the tfx environment: `python tfma_jobs.py FOLDER` prints what TFMA makes of an evaluation, as JSON."""

import json
import sys

import tensorflow_model_analysis as tfma

found = tfma.load_eval_result(sys.argv[1])
slices = [[[[str(part) for part in pair] for pair in key], values[""][""]] for key, values in found.slicing_metrics]
plots = [[[list(pair) for pair in key], values[""][""]] for key, values in found.plots]
attributions = [values[""][""] for _, values in found.attributions]
print(
    json.dumps(
        {
            "slices": slices,
            "plots": plots,
            "attributions": attributions,
            "label": found.config.model_specs[0].label_key,
            "slicing": [list(spec.feature_keys) for spec in found.config.slicing_specs],
            "names": found.get_metric_names(),
            "premium": found.get_metrics_for_slice((("plan", "premium"),)),
        }
    )
)
