"""What the clients' programs are given: a model, Python packages, compiled pipelines. Made in the main environment."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIENTS = HERE / "clients"
_SETUP = 'import setuptools\n\nsetuptools.setup(name="trainer", version="0.1", packages=setuptools.find_packages())\n'


def make_inputs(folder: Path) -> Path:
    """Makes them in a new folder; returns it."""
    from kfp import compiler

    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "serving"), str(CLIENTS)]
    import sample_pipelines
    from tiny_bundle import write_tiny_bundle

    folder.mkdir(parents=True)
    write_tiny_bundle(folder / "bundle", "binary")
    (folder / "data.txt").write_text("to be, or not to be")
    shutil.copy(CLIENTS / "training_program.py", folder)
    _package(folder / "trainer_iris.tar.gz", CLIENTS / "training_program.py")
    _package(folder / "trainer_experiment.tar.gz", CLIENTS / "experiment_program.py")
    for pipeline in sample_pipelines.ALL:
        for kind in ("json", "yaml"):
            compiler.Compiler().compile(pipeline, str(folder / f"{pipeline.name}.{kind}"))
    return folder


def _package(file: Path, program: Path) -> None:
    """A source distribution whose `trainer.task` is a program."""
    files = {
        "custom/setup.py": _SETUP,
        "custom/trainer/__init__.py": "",
        "custom/trainer/task.py": program.read_text(),
    }
    with tarfile.open(file, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
