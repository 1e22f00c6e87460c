"""What TFX's compiled pipelines have beside KFP's: resolvers, drivers before the cache, types by an instance's schema."""

import copy

import pytest

from headrace.pipelines.local.ir.graph import UnsupportedPipeline
from headrace.pipelines.local.ir.reading import read_graph

IMAGE = "registry/headrace-main"
# Writes what it is given into its output `model`, and says that it is blessed, as the IR's container contract has it.
LEARN = """
import json, pathlib, sys
given = json.loads(sys.argv[1])
outputs = given["outputs"]
said = {"artifacts": {}}
for name, items in outputs["artifacts"].items():
    [item] = items["artifacts"]
    folder = pathlib.Path(item["uri"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "given.json").write_text(json.dumps(given["inputs"]))
    metadata = {"blessed": 1.0, "current_model_id": given["inputs"]["artifacts"]["model"]["artifacts"][0]["name"]} \\
        if name == "blessing" else {}
    said["artifacts"][name] = {"artifacts": [{"uri": item["uri"], "metadata": metadata}]}
pathlib.Path(outputs["outputFile"]).write_text(json.dumps(said))
"""


def kind(title):
    return {"artifactType": {"instanceSchema": f"title: tfx.{title}\ntype: object\n"}}


def python(script):
    return {"image": IMAGE, "command": ["python", "-c", script], "args": ["{{$}}"]}


def query(**filters):
    return {"resolver": {"outputArtifactQueries": {name: {"filter": text} for name, text in filters.items()}}}


def of(task, key):
    return {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": key}}


PIPELINE = {
    "schemaVersion": "2.1.0",
    "pipelineInfo": {"name": "tfx-like"},
    "deploymentSpec": {
        "executors": {
            "which-blessing": query(
                model_blessing='schema_title="tfx.ModelBlessing" AND state=LIVE AND metadata.blessed.number_value=1'
            ),
            "which-model": query(
                model='schema_title="tfx.Model" AND state=LIVE AND '
                "name=\"{{$.inputs.artifacts['input'].metadata['current_model_id']}}\""
            ),
            "train": {"container": python(LEARN)},
            "judge": {"container": python(LEARN)},
        }
    },
    "components": {
        "which-blessing": {
            "executorLabel": "which-blessing",
            "outputDefinitions": {"artifacts": {"model_blessing": kind("ModelBlessing")}},
        },
        "which-model": {
            "executorLabel": "which-model",
            "inputDefinitions": {"artifacts": {"input": kind("ModelBlessing")}},
            "outputDefinitions": {"artifacts": {"model": kind("Model")}},
        },
        "train": {
            "executorLabel": "train",
            "inputDefinitions": {"parameters": {"seed": {"parameterType": "NUMBER_INTEGER"}}},
            "outputDefinitions": {"artifacts": {"model": kind("Model")}},
        },
        "judge": {
            "executorLabel": "judge",
            "inputDefinitions": {"artifacts": {"model": kind("Model"), "baseline": kind("Model")}},
            "outputDefinitions": {"artifacts": {"blessing": kind("ModelBlessing")}},
        },
    },
    "root": {
        "inputDefinitions": {"parameters": {"seed": {"parameterType": "NUMBER_INTEGER", "defaultValue": 1.0}}},
        "dag": {
            "tasks": {
                "which-blessing": {"componentRef": {"name": "which-blessing"}},
                "which-model": {
                    "componentRef": {"name": "which-model"},
                    "inputs": {"artifacts": {"input": of("which-blessing", "model_blessing")}},
                },
                "train": {
                    "componentRef": {"name": "train"},
                    "cachingOptions": {"enableCache": True},
                    "inputs": {"parameters": {"seed": {"componentInputParameter": "seed"}}},
                },
                "judge": {
                    "componentRef": {"name": "judge"},
                    "cachingOptions": {"enableCache": True},
                    "inputs": {"artifacts": {"model": of("train", "model"), "baseline": of("which-model", "model")}},
                },
            }
        },
    },
}


def test_a_resolver_finds_the_model_that_an_earlier_run_of_this_pipeline_blessed(runner):
    first = runner.run(PIPELINE)
    assert first.succeeded, first.error
    assert first.tasks["which-model"].artifacts == {"model": ()}
    assert first.tasks["judge"].inputs["baseline"] == ()
    second = runner.run(PIPELINE, parameters={"seed": 2})
    assert second.tasks["judge"].inputs["baseline"] == first.tasks["train"].artifacts["model"]
    assert second.tasks["judge"].inputs["model"] != second.tasks["judge"].inputs["baseline"]
    assert second.tasks["which-blessing"].artifacts["model_blessing"][0].type == "tfx.ModelBlessing"
    other = copy.deepcopy(PIPELINE)
    other["pipelineInfo"]["name"] = "another"
    assert runner.run(other).tasks["which-model"].artifacts == {"model": ()}


def test_a_driver_runs_before_its_task_with_the_same_input_and_is_never_answered_by_the_cache(runner, tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("one")
    ir = copy.deepcopy(PIPELINE)
    driver = f"""
import json, pathlib, sys
given = json.loads(sys.argv[1])
text = pathlib.Path({str(source)!r}).read_text()
pathlib.Path(given["outputs"]["outputFile"]).write_text(json.dumps({{"parameterValues": {{"found": text}}}}))
"""
    task = """
import json, pathlib, sys
given = json.loads(sys.argv[1])
found = json.loads(pathlib.Path(given["outputs"]["outputFile"]).read_text())["parameterValues"]["found"]
folder = pathlib.Path(given["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"])
folder.mkdir(parents=True)
(folder / "found.txt").write_text(found + " it's " + given["inputs"]["parameterValues"]["note"])
"""
    hook = {"preCacheCheck": {"command": ["python", "-c", driver], "args": ["{{$}}"]}}
    ir["deploymentSpec"]["executors"]["train"] = {"container": {**python(task), "lifecycle": hook}}
    ir["components"]["train"]["inputDefinitions"]["parameters"]["note"] = {"parameterType": "STRING"}
    note = 'it\'s "quoted" $HOME'  # which no shell may touch
    ir["root"]["dag"]["tasks"]["train"]["inputs"]["parameters"]["note"] = {"runtimeValue": {"constant": note}}

    def found(result):
        assert result.succeeded, result.tasks["train"].error
        return (result.tasks["train"].artifacts["model"][0].path / "found.txt").read_text()

    assert found(runner.run(ir)) == f"one it's {note}"
    source.write_text("two")
    assert found(runner.run(ir)) == f"two it's {note}"
    assert runner.ran() >= {"train", "judge"}
    runner.run(ir)
    assert "train" in runner.ran()


def test_what_a_resolver_or_a_hook_cannot_be_here_is_refused():
    ir = copy.deepcopy(PIPELINE)
    ir["deploymentSpec"]["executors"]["which-model"] = query(model='create_time>"2026"')
    with pytest.raises(UnsupportedPipeline, match='which-model: expected a query by .* Received: create_time>"2026"'):
        read_graph(ir)
    ir = copy.deepcopy(PIPELINE)
    ir["deploymentSpec"]["executors"]["train"]["container"]["lifecycle"] = {"postStart": {"command": ["x"]}}
    with pytest.raises(UnsupportedPipeline, match="Received: one with a lifecycle hook, postStart"):
        read_graph(ir)
