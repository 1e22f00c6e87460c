"""A program that logs to an experiment, with its inputs and outputs. Run by the emulator as a custom job."""

from __future__ import annotations

import argparse
import os

from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform

parser = argparse.ArgumentParser()
parser.add_argument("--experiment", required=True)
parser.add_argument("--run", required=True)
parser.add_argument("--epochs", type=int, required=True)
arguments = parser.parse_args()
aiplatform.init(
    project=os.environ["CLOUD_ML_PROJECT_ID"],
    location=os.environ["CLOUD_ML_REGION"],
    experiment=arguments.experiment,
    api_endpoint=os.environ["HEADRACE_EMULATOR"],
    api_transport="rest",
    credentials=AnonymousCredentials(),
)
aiplatform.start_run(arguments.run)
with aiplatform.start_execution(schema_title="system.ContainerExecution", display_name="training") as execution:
    data, model = (
        aiplatform.Artifact.create(schema_title=f"system.{kind}", display_name=kind, uri=f"gs://example/{kind}")
        for kind in ("Dataset", "Model")
    )
    execution.assign_input_artifacts([data])
    aiplatform.log_params({"epochs": arguments.epochs})
    execution.assign_output_artifacts([model])
    aiplatform.log_metrics({"lineage": execution.get_output_artifacts()[0].lineage_console_uri})
aiplatform.end_run()
