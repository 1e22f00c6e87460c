"""Fills an image: called by the Dockerfiles, with the same uv, index and locks as the laptop's set-up.

    python tools/image_env.py libraries main          # /opt/headrace: an environment equal to requirements/main.lock
    python tools/image_env.py package artifacts ...   # these folders of ours in it
    python tools/image_env.py standard-library        # its bytecode: python's own images come without
    python tools/image_env.py pip tfx                 # /opt/pip: a lock's pip, for images whose own lock has none

What a running image has no use for is taken out again. The result depends on the lock and on our files alone, byte
for byte: bytecode is compiled under a fixed hash seed, a process for each package, and holds no time stamps, so that
it is valid whatever time a builder gives the files.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also without being installed, as in an image

from tools import setup_envs

PREFIX = Path("/opt/headrace")
PIP = Path("/opt/pip")
SITE = PREFIX / "lib" / f"python{setup_envs.PYTHON}" / "site-packages"
# In a lock for those who develop or compile: the installer, a client of container engines, a compiler.
NOT_NEEDED = ("uv", "docker", "libclang")
# Folders of packages that only their own tests, or a compiler, would read. TFX imports modules from `testing`.
FOLDERS = frozenset(("tests", "include"))
SUFFIXES = frozenset((".a", ".h", ".hpp", ".pxd", ".pyi", ".pyx"))
# A file of tests is known by what it imports: scipy.stats has a statistical test in `_page_trend_test.py`.
TEST = re.compile(
    rb"^\s*(?:import|from) (?:unittest|pytest|absl\.testing)\b|^from absl import .*\b\w*test\b", re.MULTILINE
)
COMMAND = """#!{python}
import sys

from headrace.pipelines.cli import main

sys.exit(main())
"""


def main(arguments: "list[str]") -> int:
    """Does one of the four; returns the process's exit code."""
    what, rest = arguments[0], arguments[1:]
    try:
        if what == "libraries":
            libraries(*rest)
        elif what == "package":
            package(setup_envs.ROOT, SITE, rest)
        elif what == "standard-library":
            compile_in(Path(sysconfig.get_path("stdlib")), sys.executable)
        elif what == "pip":
            pip(*rest)
        else:
            raise setup_envs.SetupError(f"expected libraries, package, standard-library or pip. Received: {what}")
    except (setup_envs.SetupError, OSError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


def libraries(lock: str) -> None:
    """An environment equal to a lock, without what a running image has no use for."""
    uv = setup_envs.find_uv()
    env = {**setup_envs.uv_environment(uv), "UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}
    python = str(PREFIX / "bin" / "python")
    setup_envs.run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(PREFIX), env=env)
    locked = str(setup_envs.LOCKS / f"{lock}.lock")
    setup_envs.run(uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", locked, env=env)
    setup_envs.run(uv, "pip", "uninstall", "--quiet", "--python", python, *NOT_NEEDED, env=env)
    if (SITE / "lightgbm").is_dir():
        setup_envs.run(python, str(Path(__file__).with_name("openmp.py")), env=env)
    prune(SITE)
    for script in (PREFIX / "bin").iterdir():  # everything is called by `python -m`
        if not script.name.startswith("python"):
            script.unlink()
    compile_in(SITE, python)


def pip(lock: str) -> None:
    """A lock's pip, in a folder to copy into an environment."""
    uv = setup_envs.find_uv()
    env = {**setup_envs.uv_environment(uv), "UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}
    version, hashes = setup_envs.pinned("pip", lock)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(f"pip=={version} " + " ".join(f"--hash={one}" for one in hashes) + "\n")
        file.flush()
        what = ["--quiet", "--target", str(PIP), "--no-deps", "--require-hashes", "--requirement", file.name]
        setup_envs.run(uv, "pip", "install", "--python", sys.executable, *what, env=env)
    shutil.rmtree(PIP / "bin", ignore_errors=True)
    (PIP / ".lock").unlink(missing_ok=True)
    compile_in(PIP, sys.executable)


def package(source: Path, site: Path, folders: "list[str]") -> None:
    """Our package with these folders of it (`serving` without `serving/batch`: serving -serving/batch).

    Raises:
        SetupError: there is no such folder.
    """
    target = site / "headrace"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "py.typed"):
        shutil.copyfile(source / "headrace" / name, target / name)
    left_out = {name[1:] for name in folders if name.startswith("-")}
    for name in [name for name in folders if not name.startswith("-")]:
        if not (source / name).is_dir():
            raise setup_envs.SetupError(f"expected a folder of the package. Received: {name}")
        shutil.copytree(source / name, target / name, ignore=_ignored(source, left_out))
    python = site.parents[2] / "bin" / "python"
    if (target / "pipelines").is_dir():
        command = site.parents[2] / "bin" / "headrace"
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text(COMMAND.format(python=python))
        command.chmod(0o755)
    compile_in(target, sys.executable)


def _ignored(source: Path, left_out: "set[str]"):
    def ignored(folder: str, names: "list[str]") -> "list[str]":
        inside = Path(folder).relative_to(source)
        return [n for n in names if n == "__pycache__" or n.startswith("Dockerfile") or str(inside / n) in left_out]

    return ignored


def prune(site: Path) -> None:
    """Takes out tests, headers, static libraries and stubs."""
    for folder, names, files in os.walk(site):
        for name in sorted(FOLDERS.intersection(names)):
            shutil.rmtree(Path(folder) / name)
            names.remove(name)
        for file in [Path(folder) / name for name in files]:
            if file.suffix in SUFFIXES or (file.name.endswith("_test.py") and TEST.search(file.read_bytes())):
                file.unlink()


def compile_in(folder: Path, python: str) -> None:
    """Compiles every package in a folder to bytecode, each in a process of its own.

    What a process compiled before shows in its bytecode (which constants it has met already), so that one process for
    whatever comes next would give other bytes each time. A file for another Python is left as it is.
    """

    def compiled(path: Path) -> None:
        what = [python, "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash", str(path)]
        subprocess.run(what, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False, stdout=subprocess.DEVNULL)

    skipped = ("site-packages", "dist-packages", "test", "__pycache__")
    paths = [p for p in sorted(folder.iterdir()) if (p.is_dir() and p.name not in skipped) or p.suffix == ".py"]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(compiled, paths))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
