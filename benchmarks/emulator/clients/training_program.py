"""A program that "trains": it copies a model to AIP_MODEL_DIR. Run by the emulator as a custom job."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

parser = argparse.ArgumentParser()
parser.add_argument("--model", type=Path, required=True, help="the folder of a finished model")
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--seconds", type=float, default=0.0)
arguments = parser.parse_args()
bucket, _, prefix = os.environ["AIP_MODEL_DIR"].removeprefix("gs://").partition("/")
target = storage.Client("demo", AnonymousCredentials()).bucket(bucket)
for file in arguments.model.rglob("*"):
    if file.is_file():
        target.blob(f"{prefix}{file.relative_to(arguments.model)}").upload_from_filename(str(file))
