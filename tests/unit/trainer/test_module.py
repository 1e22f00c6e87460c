"""A user's own module: what it may return, what is proven of it, and how its errors are shown."""

import numpy as np
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.models.module import ModuleError, fit
from headrace.trainer.parameters import ModuleParameters
from tests.unit.trainer.learning import difference, job

FOREST = """
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

def fit(job):
    forest = RandomForestClassifier(job.parameters["trees"], min_samples_leaf=5, random_state=job.seed)
    model = make_pipeline(SimpleImputer(strategy="median"), forest)
    return model.fit(job.train.features, job.train.labels, randomforestclassifier__sample_weight=job.train.weights)
"""
PIPELINE = """
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def fit(job):
    steps = SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression()
    return make_pipeline(*steps).fit(job.train.features, job.train.labels)
"""
HISTOGRAM = """
from sklearn.ensemble import HistGradientBoostingRegressor

def fit(job):
    return HistGradientBoostingRegressor(max_iter=30, random_state=job.seed).fit(job.train.features, job.train.labels)
"""
LIGHTGBM = """
import lightgbm

def fit(job):
    model = lightgbm.LGBMClassifier(n_estimators=20, verbosity=-1, random_state=job.seed)
    return model.fit(job.train.features, job.train.labels)
"""
ONNX = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

def fit(job):
    ratio = job.parameters["ratio"]
    nodes = [
        helper.make_node("Gather", ["x", "first"], ["column"], axis=1),
        helper.make_node("IsNaN", ["column"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "column"], ["filled"]),
        helper.make_node("Clip", ["filled", "low", "high"], ["clipped"]),
        helper.make_node("Mul", ["clipped", "ratio"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["positive"]),
    ]
    constants = {"first": np.array([0]), "zero": np.float32(0), "low": np.float32(-9), "high": np.float32(9),
                 "ratio": np.float32(ratio)}
    graph = helper.make_graph(nodes, "mine", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 5])],
                              [helper.make_tensor_value_info("positive", TensorProto.FLOAT, [None, 1])],
                              [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
"""


def own(text: str, classes: int = 2, rows: int = 900, **more):
    parameters = ModuleParameters("my_model.py", text, more.pop("parameters", {}))
    return fit(job(classes, parameters, rows, **more))


@pytest.mark.parametrize(
    ("text", "classes", "parameters"),
    [
        (FOREST, 2, {"trees": 15}),
        (FOREST, 3, {"trees": 15}),
        (PIPELINE, 2, {}),
        (PIPELINE, 3, {}),
        (HISTOGRAM, 0, {}),
        (LIGHTGBM, 2, {}),
        (LIGHTGBM, 3, {}),
        (ONNX, 2, {"ratio": 1.5}),
    ],
    ids=["forest", "forest of three", "pipeline", "pipeline of three", "histogram", "lightgbm", "lightgbm of three",
         "onnx"],
)  # fmt: skip
def test_what_it_returns_becomes_a_graph_that_answers_the_same(text, classes, parameters):
    model = own(text, classes, parameters=parameters)
    asked = job(classes, None)
    assert difference(model, asked.evaluation.features) <= model.tolerance
    assert model.metric == ("log_loss" if classes else "rmse")
    assert set(model.curve) == {"train", "eval"}
    constant = asked.evaluation.labels.std() if classes == 0 else np.log(classes)
    assert model.curve["eval"][0] < 0.9 * constant
    assert model.parameters == parameters
    assert model.kind == "module"


def test_trees_are_tried_at_their_thresholds():
    found = own(HISTOGRAM, 0).thresholds()
    assert found
    assert all(values.dtype == np.float32 and len(values) for values in found.values())
    assert own(PIPELINE).thresholds() == {}


def test_a_model_of_ours_keeps_its_curve():
    text = """
from dataclasses import replace
from headrace.trainer.models.gbdt import fit as trees
from headrace.trainer.parameters import GbdtParameters

def fit(job):
    return trees(replace(job, parameters=GbdtParameters(n_estimators=12)))
"""
    model = own(text)
    assert len(model.curve["eval"]) == 12
    assert 1 <= model.rounds <= 12
    assert model.importance().sum() == pytest.approx(1)
    assert model.parameters["n_estimators"] == 12


@pytest.mark.slow
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_keras_model(classes):
    text = """
import keras
import numpy as np

def fit(job):
    keras.utils.set_random_seed(job.seed)
    features = keras.Input((len(job.features),))
    known = keras.ops.where(keras.ops.isnan(features), 0.0, keras.ops.clip(features, -9.0, 9.0))
    hidden = keras.layers.Dense(16, activation="relu")(known)
    last = keras.layers.Dense(1, activation="sigmoid") if job.classes == 2 else (
        keras.layers.Dense(job.classes, activation="softmax") if job.classes else keras.layers.Dense(1))
    model = keras.Model(features, last(hidden))
    losses = {0: "mse", 2: "binary_crossentropy"}
    model.compile("adam", losses.get(job.classes, "sparse_categorical_crossentropy"))
    model.fit(job.train.features, job.train.labels, epochs=2, verbose=0)
    return model
"""
    model = own(text, classes)
    assert difference(model, job(classes, None).evaluation.features) <= model.tolerance


def test_an_error_shows_the_users_own_traceback_and_line():
    text = "def helper(rows):\n    return rows / 'two'\n\n\ndef fit(job):\n    return helper(job.train.features)\n"
    with pytest.raises(ModuleError) as raised:
        own(text)
    message = str(raised.value)
    assert message.startswith(
        "expected fit(job) of my_model.py to return a model. Received: an error in my_model.py, line 2"
    )
    assert 'File "my_model.py", line 6, in fit\n    return helper(job.train.features)\n' in message
    assert 'File "my_model.py", line 2, in helper\n' in message
    assert "module.py" not in message.replace("my_model.py", "")
    assert "TypeError" in message.splitlines()[-1] or "UFuncNoLoopError" in message.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("def fit(job):\n    pass", "expected fit\\(job\\) to return .*Received: NoneType"),
        ("def train(job):\n    pass", "expected a function `fit\\(job\\)`. Received: none"),
        ("", "expected the text of my_model.py in the compiled pipeline. Received: none"),
        ("import sys\ndef fit(job):\n    sys.exit(3)", "an error in my_model.py, line 3(.|\n)*SystemExit: 3"),
        ("import nothing_of_this_name\ndef fit(job): ...", "an error in my_model.py, line 1(.|\n)*ModuleNotFoundError"),
        ("TOLERANCE = 0.5\ndef fit(job): ...", "expected TOLERANCE above 0 and up to 0.01. Received: 0.5"),
        (
            "from sklearn.svm import LinearSVC\ndef fit(job):\n    return LinearSVC()",
            "expected a classifier with predict_proba",
        ),
        (
            "from sklearn.dummy import DummyClassifier\nfrom headrace.trainer.model import Job\n"
            "def fit(job: Job):\n    return DummyClassifier().fit(job.train.features, job.train.labels + 5)",
            "expected a classifier of the classes 0 to 1.*Received: 5, 6",
        ),
        (
            "from sklearn.impute import SimpleImputer\nfrom sklearn.linear_model import LogisticRegression\n"
            "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\n"
            "def fit(job):\n"
            "    model = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression())\n"
            "    return model.fit(job.train.features, job.train.labels)",
            "expected a model that can be put into ONNX. Received: Pipeline, which cannot: ",
        ),
        (
            "from sklearn.linear_model import LogisticRegression\nimport numpy as np\ndef fit(job):\n"
            "    return LogisticRegression().fit(np.nan_to_num(job.train.features), job.train.labels)",
            "expected a model that answers whatever comes: missing values too(.|\n)*Received: Input X contains NaN",
        ),
    ],
)
def test_what_is_no_model_is_refused(text, received):
    with pytest.raises(HeadraceError, match=received):
        own(text)


def test_a_pruned_trial_is_no_error_of_the_module():
    class Pruned(Exception):
        pass

    def on_round(number, value):
        raise Pruned

    text = "def fit(job):\n    job.on_round(1, 0.5)\n"
    with pytest.raises(Pruned):
        own(text, on_round=on_round)


def test_the_same_seed_gives_the_same_model():
    rows = job(2, None).evaluation.features
    answers = [own(FOREST, parameters={"trees": 5}, seed=seed).predict(rows) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert (answers[0] != answers[2]).any()
