#!/opt/headrace/bin/python
"""Stands in for Beam's launcher of a worker, /opt/apache/beam/boot, which is in Beam's own image alone.

It does what that program does of Beam's container contract (beam.apache.org, "SDK harness container contract"): asks
the runner for the pipeline's options, refuses to start where `python -m pip show` knows of no Beam, and starts the
worker. It stages nothing: neither do our pipelines.
"""

import argparse
import os
import subprocess
import sys

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc, endpoints_pb2
from google.protobuf import json_format, text_format


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("id", "logging_endpoint", "control_endpoint", "artifact_endpoint", "provision_endpoint"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    if subprocess.run(["python", "-m", "pip", "show", "apache-beam"], stdout=subprocess.DEVNULL).returncode:
        sys.exit("Apache Beam is not installed in the runtime environment")
    os.makedirs("/var/opt/google/staged")  # noqa: PTH103 - Dataflow mounts a folder of root's above it
    channel = grpc.insecure_channel(given.provision_endpoint)
    stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
    request = beam_provision_api_pb2.GetProvisionInfoRequest()
    info = stub.GetProvisionInfo(request, metadata=[("worker_id", given.id)]).info
    logging = endpoints_pb2.ApiServiceDescriptor(url=given.logging_endpoint)
    control = endpoints_pb2.ApiServiceDescriptor(url=given.control_endpoint)
    os.environ["WORKER_ID"] = given.id
    os.environ["PIPELINE_OPTIONS"] = json_format.MessageToJson(info.pipeline_options)
    os.environ["SEMI_PERSISTENT_DIRECTORY"] = "/var/opt/google"
    os.environ["LOGGING_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(logging)
    os.environ["CONTROL_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(control)
    if os.environ.get("RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT") != "1":
        subprocess.run(["python", "-m", "venv", "--system-site-packages", "/tmp/beam-venv"], check=True)
        os.environ["PATH"] = f"/tmp/beam-venv/bin:{os.environ['PATH']}"
    os.execvp("python", ["python", "-m", "apache_beam.runners.worker.sdk_worker_main"])


if __name__ == "__main__":
    main()
