"""TFX's side of the taxi benchmark: its own example pipeline, run whole by its LocalDagRunner.

Runs in the `tfx` environment. The pipeline and its user module are the files inside the installed TFX wheel;
only what the example leaves to the user is filled in here: where things lie, and the runner.
"""

import argparse
import shutil
from pathlib import Path

from tfx.examples.chicago_taxi_pipeline import taxi_pipeline_native_keras as example
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

# The example asks Beam for one worker process per core, which costs more than it brings on a table of this
# size. One worker in this process is the fastest setting found.
TUNED = ["--direct_num_workers=1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with one CSV file")
    parser.add_argument("--root", type=Path, required=True, help="where everything TFX writes goes")
    parser.add_argument("--as-it-comes", action="store_true", help="keep the example's own Beam options")
    args = parser.parse_args()
    LocalDagRunner().run(
        # The example has no public way to say where its data and outputs are: this function is it.
        example._create_pipeline(
            pipeline_name=example._pipeline_name,
            pipeline_root=str(args.root / "pipelines"),
            data_root=str(args.data),
            module_file=str(user_module(args.root)),
            serving_model_dir=str(args.root / "serving_model"),
            metadata_path=str(args.root / "metadata" / "metadata.db"),
            beam_pipeline_args=example._beam_pipeline_args if args.as_it_comes else TUNED,
        )
    )


def user_module(root: Path) -> Path:
    """Lays the example's user module into a folder of its own, as its comments tell the user to.

    TFX packs every module of that folder into a wheel: among TFX's other examples it would pack them too.
    """
    name = "taxi_utils_native_keras.py"
    target = root / "module" / name
    if not target.exists():  # the same file the second time, or TFX would have a reason not to use its cache
        target.parent.mkdir(parents=True)
        shutil.copy2(Path(example.__file__).with_name(name), target)
    return target


if __name__ == "__main__":
    main()
