"""Makes KFP's messages importable beside TFX: import this before anything of TFX's Kubeflow side.

KFP itself, imported whole, asks for newer messages than TFX's protobuf has; its runtime alone does not.
"""

from __future__ import annotations

import os

os.environ["_KFP_RUNTIME"] = "true"
