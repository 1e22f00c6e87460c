"""Headrace: from a table and a short YAML file to a governed, served, monitored model.

The folders of this package are relative symbolic links to the folders at the top of the repository
(see docs/decisions/0001-one-package-of-links.md).
"""

import os

__version__ = "0.1.0"

# ONNX Runtime's wheels report usage unless told not to, from the moment they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# So does MLflow: to its makers, on the first run that is logged.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
