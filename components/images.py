"""The images that the steps run in, fixed when a pipeline is compiled.

HEADRACE_IMAGE_MAIN=registry/headrace@sha256:... headrace compile spec.yaml
"""

from __future__ import annotations

import os

from headrace import __version__

MAIN = os.environ.get("HEADRACE_IMAGE_MAIN", f"headrace/components:{__version__}")
TFX = os.environ.get("HEADRACE_IMAGE_TFX", f"headrace/tfx:{__version__}")
