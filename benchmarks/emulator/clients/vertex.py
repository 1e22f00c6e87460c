"""What all programs here do first that use google-cloud-aiplatform."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

BUCKET = "gs://samples"
PROJECT, LOCATION = "demo", "us-central1"
SERVER = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-14:latest"  # what serves it here is ours, for a bundle
TRAINER = "us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-14.py310:latest"


def connect(address: str) -> Any:
    """`aiplatform`, pointed at an emulator; with the bucket, and a look at jobs ten times a second."""
    sys.path.append(str(Path(__file__).resolve().parents[3]))  # headrace needs nothing that its environment lacks
    from headrace.emulator.connecting import connect as point

    connection = point(address, project=PROJECT, location=LOCATION, staging_bucket=BUCKET)
    from google.cloud import aiplatform, storage
    from google.cloud.aiplatform import jobs, pipeline_jobs, training_jobs

    for module in (jobs, pipeline_jobs, training_jobs):
        module._JOB_WAIT_TIME = 0.1  # no part of what is sent: only how long it sleeps
    client = storage.Client(PROJECT, connection.credentials())
    if not client.lookup_bucket(BUCKET[5:]):
        client.create_bucket(BUCKET[5:])
    return aiplatform


def copy(folder: Path, uri: str) -> str:
    """Copies a folder, or a file, into a bucket; returns its address."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    target = storage.Client(PROJECT, AnonymousCredentials()).bucket(bucket)
    if folder.is_file():
        target.blob(prefix).upload_from_filename(str(folder))
    for file in folder.rglob("*"):
        if file.is_file():
            target.blob(f"{prefix}/{file.relative_to(folder)}").upload_from_filename(str(file))
    return uri
