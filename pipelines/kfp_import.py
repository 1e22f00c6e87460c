"""Importing KFP for a compilation alone."""

from __future__ import annotations

import os
import sys

from headrace.pipelines import interrupt

_AT_RUN_TIME = "_KFP_RUNTIME"  # KFP's own variable: its components set it where only the executor is needed


def import_kfp() -> None:
    """Imports the package as KFP does within its components: without its client.

    The client brings Kubernetes' one, for half a second of a core, and no compilation needs either. `kfp.dsl` and
    `kfp.compiler` are whole, and `kfp.client` can be imported by that name. Only where the process is our command:
    whoever imports us finds KFP as ever.
    """
    if "kfp" in sys.modules or not interrupt.is_command():
        return
    before = os.environ.get(_AT_RUN_TIME)
    os.environ[_AT_RUN_TIME] = "true"
    try:
        import kfp  # noqa: F401 (it is imported for what it leaves out)
    finally:
        del os.environ[_AT_RUN_TIME]
        if before is not None:
            os.environ[_AT_RUN_TIME] = before
