"""What a task's container of the compiled TFX pipeline starts: TFX's own executor, or the driver before it.

    python -m headrace.trainer.tfx.task --executor_class_path ... --json_serialized_invocation_args ...

On Vertex AI the driver is a hook of the service (`preCacheCheck`), which starts it in a container of its own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import headrace.trainer.tfx.messages  # noqa: F401 (before TFX)

# isort: split

from absl import app
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as executor
from tfx.orchestration.kubeflow.v2.file_based_example_gen import driver

DRIVER = "--driver"


def main() -> None:
    """Runs one of the two by the command line."""
    if DRIVER in sys.argv:
        sys.argv.remove(DRIVER)
        app.run(driver.main, flags_parser=driver._parse_flags)
    else:
        app.run(_execute, flags_parser=executor._parse_flags)


def _execute(parsed: Any) -> None:
    executor.main(parsed)
    given = json.loads(parsed[0].json_serialized_invocation_args)
    scratch = os.path.join(os.path.dirname(given["outputs"]["outputFile"]), ".temp")  # noqa: PTH118, PTH120 (a URI)
    if fileio.exists(scratch):  # TFX leaves it among the outputs
        fileio.rmtree(scratch)


if __name__ == "__main__":
    main()
