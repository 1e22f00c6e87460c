"""Makes KFP's messages importable beside TFX: import this before anything of TFX's Kubeflow side.

TFX needs `kfp.pipeline_spec` and protobuf 4. KFP itself, imported whole, asks for newer messages than TFX's protobuf
has; its runtime alone does not. And messages that were generated for protobuf 5 begin with a check of the version,
which protobuf 4 does not have; what they describe is the same to both.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types

os.environ["_KFP_RUNTIME"] = "true"

if importlib.util.find_spec("google.protobuf.runtime_version") is None:
    import google.protobuf

    _checks = types.ModuleType("google.protobuf.runtime_version")
    _checks.Domain = types.SimpleNamespace(PUBLIC=0)  # type: ignore[attr-defined]
    _checks.ValidateProtobufRuntimeVersion = lambda *versions: None  # type: ignore[attr-defined]
    sys.modules[_checks.__name__] = _checks
    google.protobuf.runtime_version = _checks
