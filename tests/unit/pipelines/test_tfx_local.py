"""What of TFX's pipeline needs no TFX: the file for its own command, and one run at a time."""

import ast

import pytest

from headrace.artifacts.dataset import Dataset
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.ingest import ingest
from headrace.pipelines.spec import Spec
from headrace.pipelines.tfx_file import write_file
from headrace.pipelines.tfx_local import Places, Prepared, TfxFailed, _alone
from headrace.pipelines.tfx_plan import plan_of
from headrace.trainer.tfx.plan import Plan


@pytest.mark.parametrize("committed", [False, True])
def test_the_file_for_tfx_own_command_holds_the_plan_and_where_things_lie(tmp_path, committed):
    (tmp_path / "o'hare.csv").write_text("miles,tipped\n" + "".join(f"{i},{i % 2}\n" for i in range(300)))
    spec = Spec.model_validate(
        {"name": "tips", "task": "classification", "data": {"source": "o'hare.csv", "label": "tipped"}}
    )
    source = str(tmp_path / "o'hare.csv")
    digest = fingerprint([source], spec.data.model_dump(mode="json"))
    ingest(source, digest, "classification", spec.data, tmp_path / "snapshot")
    snapshot = Dataset.open(tmp_path / "snapshot")
    places, schema = Places(tmp_path / "it's \\here"), tmp_path / "schema.pbtxt"
    plan = plan_of(spec, snapshot)
    write_file(Prepared(spec, plan, snapshot, places, schema if committed else None), tmp_path / "pipeline.py")
    written = (tmp_path / "pipeline.py").read_text()
    texts = [node.value for node in ast.walk(ast.parse(written)) if isinstance(node, ast.Constant)]
    assert plan in [Plan.from_json(text) for text in texts if str(text).startswith("{")]
    assert {str(places.root), str(places.serving), str(places.metadata), str(snapshot.path)} <= set(texts)
    assert (str(schema) in texts) == committed


def test_a_second_run_in_the_same_place_is_refused(tmp_path):
    places = Places(tmp_path)
    refused = pytest.raises(TfxFailed, match="expected one run at a time in .* Received: a second one")
    with _alone(places), refused, _alone(places):
        pass
    with _alone(places):
        pass
