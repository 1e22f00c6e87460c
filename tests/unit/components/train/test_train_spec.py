"""The `train` section: kinds, their parameters, weights, and a module of one's own."""

import pytest
from pydantic import ValidationError

from headrace.artifacts.errors import HeadraceError
from headrace.components.train.own_module import embed_module, module_files
from headrace.components.train.spec import TrainSpec
from headrace.pipelines.compile import with_functions
from headrace.pipelines.compiled import compiled
from headrace.pipelines.spec import SpecError, load_spec
from headrace.trainer.models import KINDS
from headrace.trainer.parameters import PARAMETERS, GbdtParameters, LinearParameters, ModuleParameters

MODULE = "def fit(job):\n    return 1\n"


def spec_of(text: str) -> TrainSpec:
    import yaml

    return TrainSpec.model_validate(yaml.safe_load(text))


def test_each_kind_has_its_parameters_and_its_learner():
    assert set(KINDS) == set(PARAMETERS) - {"cnn"}  # pictures have a trainer of their own
    assert isinstance(TrainSpec().training().parameters, GbdtParameters)
    assert TrainSpec().training().parameters == GbdtParameters()
    linear = spec_of("{model: linear, linear: {alpha: 0.1}, seed: 3, calibrate: isotonic, sample_weight: w}").training()
    assert linear.parameters == LinearParameters(alpha=0.1)
    assert (linear.kind, linear.seed, linear.calibrate, linear.sample_weight) == ("linear", 3, "isotonic", "w")


def test_tuned_parameters_overrule_and_are_checked():
    section = spec_of("{gbdt: {num_leaves: 5, lambda_l2: 2}}")
    tuned = section.training({"num_leaves": 9}).parameters
    assert (tuned.num_leaves, tuned.lambda_l2) == (9, 2)
    with pytest.raises(ValidationError):
        section.training({"num_leaves": 1})
    with pytest.raises(ValidationError):
        section.training({"leaves": 9})
    own = spec_of("{module: m.py, parameters: {a: 1, b: 2}}").training({"b": 3}).parameters
    assert own == ModuleParameters("m.py", "", {"a": 1, "b": 3})


def test_classes_are_named_as_ingestion_names_them():
    assert spec_of("{class_weight: {0: 1, 1: 5}}").class_weight == {"0": 1.0, "1": 5.0}
    assert spec_of("{class_weight: {no: 1, true: 5}}").class_weight == {"false": 1.0, "true": 5.0}
    assert spec_of("{class_weight: balanced}").class_weight == "balanced"


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("{model: module}", "expected a file with model: module, and only with it. Received: none"),
        ("{model: gbdt, module: m.py}", "Received: `m.py` with model: gbdt"),
        ("{parameters: {a: 1}}", "expected those of your own module. Received: some with model: gbdt"),
        ("{module: m.txt}", "should match pattern"),
        ("{class_weight: {a: -1}}", "greater than or equal to 0"),
        ("{gbdt: {monotone: {a: 2}}}", "should be -1 or 1"),
    ],
)
def test_what_does_not_go_together_is_refused(text, received):
    with pytest.raises(ValidationError, match=received):
        spec_of(text)


def project(folder, train: str, task: str = "classification"):
    file = folder / "spec.yaml"
    file.write_text(f"name: m\ntask: {task}\ndata:\n  source: rows.csv\n  label: y\ntrain:\n  {train}\n")
    return file


@pytest.mark.parametrize("field", ["class_weight: balanced", "calibrate: sigmoid"])
def test_a_regression_has_neither_classes_nor_probabilities(tmp_path, field):
    name = field.partition(":")[0]
    with pytest.raises(SpecError, match=rf"spec.yaml:7: train.{name}: expected .* classification"):
        load_spec(project(tmp_path, field, "regression"))
    load_spec(project(tmp_path, field))


def test_the_modules_text_travels_and_decides_the_compilation(tmp_path):
    (tmp_path / "my_model.py").write_text(MODULE)
    file = project(tmp_path, "module: my_model.py")
    spec = with_functions(load_spec(file), file)
    assert spec.train.module_text == MODULE
    assert module_files(spec.train) == ["my_model.py"]
    assert "return 1" in str(compiled(file, tmp_path / "home").ir)
    (tmp_path / "my_model.py").write_text(MODULE.replace("1", "2"))
    assert "return 2" in str(compiled(file, tmp_path / "home").ir)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (None, "expected the file of train.module. Received: No such file"),
        ("def fit(:\n", "m.py:1: expected Python"),
        ("def train(job): ...", "expected a function `fit\\(job\\)`, which train.module needs"),
        ("if True:\n    def fit(job): ...", "expected a function `fit"),
    ],
)
def test_a_module_that_cannot_be_one_is_refused_before_the_run(tmp_path, text, received):
    if text is not None:
        (tmp_path / "m.py").write_text(text)
    with pytest.raises(HeadraceError, match=received):
        embed_module(spec_of("{module: m.py}"), tmp_path)


def test_without_a_module_nothing_changes(tmp_path):
    section = TrainSpec()
    assert embed_module(section, tmp_path) is section
    assert module_files(section) == []
