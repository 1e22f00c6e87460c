"""The kinds of model: each a module with `fit(job) -> Model`, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from headrace.trainer.model import Job, Model

KINDS = {
    "gbdt": "headrace.trainer.models.gbdt",
    "linear": "headrace.trainer.models.linear",
    "mlp": "headrace.trainer.models.mlp",
    "module": "headrace.trainer.models.module",
}


def fit(kind: str, job: Job) -> Model:
    """Trains a model of a kind."""
    model: Model = import_module(KINDS[kind]).fit(job)
    return model
