"""The contender: a compiled pipeline on kfp.local's SubprocessRunner, without environments of its own making.

    python kfp_local.py PIPELINE.yaml ROOT PYTHON [NAME=VALUE...]

The tasks run with PYTHON. kfp.local itself runs where this does, for in the environment `tfx` its own imports fail
(protobuf 4); so it is spared the slower start.
"""

import sys

from kfp import components, local


def main(file: str, root: str, python: str, *parameters: str) -> None:
    sys.executable = python  # what the SubprocessRunner starts tasks with
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
    pipeline = components.load_component_from_file(file)
    pipeline(**dict(one.split("=", 1) for one in parameters))


if __name__ == "__main__":
    main(*sys.argv[1:])
