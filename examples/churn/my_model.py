"""A model of one's own in the pipeline: `headrace run own_model.yaml`. docs/models.md says what `fit` gets."""

from __future__ import annotations

from sklearn.ensemble import HistGradientBoostingClassifier

from headrace.trainer.model import Job


def fit(job: Job) -> HistGradientBoostingClassifier:
    """Boosts scikit-learn's trees until the eval split has not improved for 20 rounds."""
    model = HistGradientBoostingClassifier(
        learning_rate=job.parameters["learning_rate"],
        max_iter=1_000,
        early_stopping=True,
        n_iter_no_change=20,
        random_state=job.seed,
    )
    return model.fit(
        job.train.features,
        job.train.labels,
        sample_weight=job.train.weights,
        X_val=job.evaluation.features,
        y_val=job.evaluation.labels,
        sample_weight_val=job.evaluation.weights,
    )
