"""One peer on one table: fits on train (and eval), predicts test, in an environment of its own.

    python peer.py CONTENDER TABLE.csv TASK.json OUTPUT.json

TASK.json: {"task", "label", "split", "text", "minutes", "seed", "cores"}. Writes {"seconds", "classes", "predictions",
"note"}: a row of probabilities in the order of the classes, or a number, for each row of test. It knows nothing of
Headrace: only numpy, pandas and the peer's own library.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Fitted = tuple[Callable[[pd.DataFrame], Any], str]  # predicts rows; a note on what was chosen


class Rows:
    """The splits of a table, with the label as codes where it is a class."""

    def __init__(self, file: Path, settings: dict[str, Any]) -> None:
        table = pd.read_csv(file)
        self.settings, self.classification = settings, settings["task"] == "classification"
        label = table.pop(settings["label"])
        self.classes: list[Any] = sorted(label.unique().tolist()) if self.classification else []
        y = label.map({name: code for code, name in enumerate(self.classes)}) if self.classification else label
        splits = table.pop(settings["split"])
        self.x = {name: table[splits == name].reset_index(drop=True) for name in ("train", "eval", "test")}
        self.y = {name: y[splits == name].reset_index(drop=True) for name in ("train", "eval", "test")}
        self.text = list(settings["text"])
        self.numbers = [n for n in table if pd.api.types.is_numeric_dtype(table[n])]
        self.categories = [n for n in table if n not in self.numbers and n not in self.text]

    @property
    def both(self) -> tuple[pd.DataFrame, pd.Series]:
        """Train and eval together, for those that need no eval or hold out rows themselves."""
        return (
            pd.concat([self.x["train"], self.x["eval"]], ignore_index=True),
            pd.concat([self.y["train"], self.y["eval"]], ignore_index=True),
        )


def plain_lightgbm(rows: Rows) -> Fitted:
    """LightGBM as its guide shows it: native categories, early stopping on eval, everything else by default.

    It has no way to read texts: they become TF-IDF by scikit-learn.
    """
    import lightgbm

    prepared = _words(rows) if rows.text else _native(rows)
    options = {"n_estimators": 2000, "random_state": rows.settings["seed"], "n_jobs": rows.settings["cores"]}
    kind = lightgbm.LGBMClassifier if rows.classification else lightgbm.LGBMRegressor
    model = kind(verbose=-1, **options)
    model.fit(
        prepared(rows.x["train"]), rows.y["train"], eval_set=[(prepared(rows.x["eval"]), rows.y["eval"])],
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
    )  # fmt: skip
    predict = model.predict_proba if rows.classification else model.predict
    return lambda x: predict(prepared(x)), f"{model.best_iteration_} rounds"


def _native(rows: Rows) -> Callable[[pd.DataFrame], Any]:
    levels = {name: pd.CategoricalDtype(rows.x["train"][name].dropna().unique()) for name in rows.categories}
    return lambda x: x.astype(levels)


def _words(rows: Rows) -> Callable[[pd.DataFrame], Any]:
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = [(name, TfidfVectorizer(min_df=2), name) for name in rows.text]
    features = ColumnTransformer([("numbers", "passthrough", rows.numbers), *words])
    features.fit(rows.x["train"])
    return lambda x: features.transform(x)


def plain_sklearn(rows: Rows) -> Fitted:
    """A pipeline as in its guide: imputed and scaled numbers, one-hot categories, TF-IDF of texts, a linear model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    steps: list[Any] = [
        (
            "numbers",
            make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
            rows.numbers,
        ),
        ("categories", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5), rows.categories),
        *((name, TfidfVectorizer(min_df=2), name) for name in rows.text),
    ]
    learner = LogisticRegression(max_iter=2000) if rows.classification else Ridge()
    model = make_pipeline(ColumnTransformer([step for step in steps if len(step[2])]), learner)
    model.fit(*rows.both)
    return (model.predict_proba if rows.classification else model.predict), type(learner).__name__


def sklearn_trees(rows: Rows) -> Fitted:
    """scikit-learn's own boosted trees with their own handling of categories and missing values, by default."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    # Its binning fails on a column that is empty in training, or has one value, as some of the taxi table's do.
    varied = {name for name in rows.x["train"] if rows.x["train"][name].nunique() > 1}
    categories = [name for name in rows.categories if name in varied]
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, max_categories=250
    )
    steps: list[Any] = [
        ("categories", codes, categories),
        ("numbers", "passthrough", [name for name in rows.numbers if name in varied]),
        *((name, TfidfVectorizer(min_df=2, max_features=500), name) for name in rows.text),
    ]
    kind = HistGradientBoostingClassifier if rows.classification else HistGradientBoostingRegressor
    learner = kind(random_state=rows.settings["seed"], categorical_features=list(range(len(categories))) or None)
    model = make_pipeline(ColumnTransformer([step for step in steps if len(step[2])], sparse_threshold=0), learner)
    model.fit(*rows.both)
    return (model.predict_proba if rows.classification else model.predict), f"{learner.n_iter_} rounds"


def flaml(rows: Rows) -> Fitted:
    """FLAML's AutoML by default within the same minutes; train to learn from, eval to choose by."""
    from flaml import AutoML

    model = AutoML()
    metric = "rmse" if not rows.classification else "roc_auc" if len(rows.classes) == 2 else "log_loss"
    model.fit(
        rows.x["train"], rows.y["train"], X_val=rows.x["eval"], y_val=rows.y["eval"],
        task="classification" if rows.classification else "regression", metric=metric, verbose=0,
        time_budget=rows.settings["minutes"] * 60, seed=rows.settings["seed"], n_jobs=rows.settings["cores"],
    )  # fmt: skip
    return (model.predict_proba if rows.classification else model.predict), str(model.best_estimator)


def autogluon(rows: Rows) -> Fitted:
    """AutoGluon's TabularPredictor by default within the same minutes, on train and eval together."""
    import tempfile

    from autogluon.tabular import TabularPredictor

    x, y = rows.both
    table = x.assign(label_=y)
    problem = "regression" if not rows.classification else "binary" if len(rows.classes) == 2 else "multiclass"
    metric = {"regression": "root_mean_squared_error", "binary": "roc_auc", "multiclass": "log_loss"}[problem]
    model = TabularPredictor("label_", problem_type=problem, eval_metric=metric, path=tempfile.mkdtemp(), verbosity=0)
    model.fit(table, time_limit=rows.settings["minutes"] * 60, num_cpus=rows.settings["cores"])
    predict = model.predict_proba if rows.classification else model.predict
    return (lambda found: predict(found).to_numpy()), str(model.model_best)


CONTENDERS: dict[str, Callable[[Rows], Fitted]] = {
    "lightgbm": plain_lightgbm,
    "sklearn": plain_sklearn,
    "sklearn-trees": sklearn_trees,
    "flaml": flaml,
    "autogluon": autogluon,
}


def main(contender: str, table: str, task: str, output: str) -> None:
    rows = Rows(Path(table), json.loads(Path(task).read_text()))
    start = time.perf_counter()
    predict, note = CONTENDERS[contender](rows)
    seconds = time.perf_counter() - start
    predictions = np.asarray(predict(rows.x["test"]), dtype=float).tolist()
    classes = [str(name) for name in rows.classes]
    Path(output).write_text(
        json.dumps({"seconds": seconds, "classes": classes, "predictions": predictions, "note": note})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
