"""The components compile, alone in anyone's pipeline, and install nothing when they run."""

from pathlib import Path

import yaml
from kfp import compiler, dsl

from headrace.components import images
from headrace.components.statistics.component import statistics
from headrace.components.validate.component import validate


def test_the_components_compile_into_a_pipeline(tmp_path: Path) -> None:
    @dsl.pipeline(name="check")
    def pipeline(uri: str) -> None:
        data = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output
        described = statistics(dataset=data)
        validate(
            dataset=data,
            statistics=described.outputs["statistics"],
            schema_text="",
            validate={"on_anomaly": "fail"},
        )

    compiler.Compiler().compile(pipeline, str(tmp_path / "pipeline.yaml"))
    text = (tmp_path / "pipeline.yaml").read_text()
    ir = yaml.safe_load(text)
    executors = ir["deploymentSpec"]["executors"]
    for name in ("exec-statistics", "exec-validate"):
        assert executors[name]["container"]["image"] == images.TFX
    assert "pip install" not in text
    outputs = ir["components"]["comp-validate"]["outputDefinitions"]["artifacts"]
    assert {name: o["artifactType"]["schemaTitle"] for name, o in outputs.items()} == {
        "schema": "system.Artifact", "anomalies": "system.Artifact", "report": "system.HTML",
    }  # fmt: skip
