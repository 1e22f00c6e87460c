"""The components compile, alone in anyone's pipeline, and install nothing when they run."""

from pathlib import Path

import yaml
from kfp import compiler, dsl

from headrace.components import images
from headrace.components.check.component import check
from headrace.components.examine.component import examine
from headrace.components.statistics.component import statistics
from headrace.components.validate.component import validate


def test_the_components_compile_into_a_pipeline(tmp_path: Path) -> None:
    @dsl.pipeline(name="check")
    def pipeline(uri: str) -> None:
        data = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset).output
        described = statistics(dataset=data, describe={})
        checked = check(dataset=data, validate={}, features={})
        examined = examine(
            dataset=data,
            statistics=described.outputs["statistics"],
            checks=checked.outputs["findings"],
            schema_text="",
            validate={"on_anomaly": "fail"},
            features={},
        )
        validate(findings=examined.outputs["findings"], schema=examined.outputs["schema"])

    compiler.Compiler().compile(pipeline, str(tmp_path / "pipeline.yaml"))
    text = (tmp_path / "pipeline.yaml").read_text()
    ir = yaml.safe_load(text)
    executors = ir["deploymentSpec"]["executors"]
    found = {name: executors[f"exec-{name}"]["container"]["image"] for name in ("check", "examine", "validate")}
    assert found == {"check": images.MAIN, "examine": images.TFX, "validate": images.MAIN}
    assert "pip install" not in text
    outputs = ir["components"]["comp-examine"]["outputDefinitions"]["artifacts"]
    assert {name: o["artifactType"]["schemaTitle"] for name, o in outputs.items()} == {
        "schema": "system.Artifact", "anomalies": "system.Artifact", "findings": "system.Artifact",
        "report": "system.HTML",
    }  # fmt: skip
    optional = ir["components"]["comp-examine"]["inputDefinitions"]["artifacts"]
    assert {name for name, i in optional.items() if i.get("isOptional")} == {"checks", "champion", "requests"}
