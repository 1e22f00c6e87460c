"""The walls of the house: who may import whom, how long a module may grow, and what a wheel holds."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# folder -> the folders of ours that it may import from
MAY_IMPORT = {
    "artifacts": set(),
    "platforms": {"artifacts"},
    "trainer": {"artifacts"},
    "serving": {"artifacts"},
    "components": {"artifacts", "platforms", "trainer", "serving"},
    "pipelines": {"artifacts", "platforms", "trainer", "serving", "components"},
    "emulator": {"artifacts", "platforms", "trainer", "serving", "components", "pipelines"},
}
MODULES = [path for folder in MAY_IMPORT for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_direction(path):
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        assert not name.startswith("."), f"{path}: relative imports hide the direction"
        first, _, rest = name.partition(".")
        assert first not in MAY_IMPORT, f"{path}: import {name} as headrace.{name}"
        if first == "headrace" and rest:
            other = rest.split(".")[0]
            assert other in MAY_IMPORT[folder] | {folder}, f"{path}: {folder} may not import {name}"


def test_the_check_sees_imports_inside_functions(tmp_path):
    (tmp_path / "module.py").write_text("def f():\n    from headrace.pipelines import spec\n")
    assert imported(tmp_path / "module.py") == {"headrace.pipelines"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_stay_short(path):
    assert len(path.read_text().splitlines()) <= 420, "a module of this length has two jobs"


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_the_package_is_made_of_links(folder):
    link = ROOT / "headrace" / folder
    assert link.is_symlink() and link.readlink() == Path("..") / folder


def test_no_pickle_is_loaded():
    loaders = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for path in MODULES:
        found = {name.split(".")[0] for name in imported(path)} & loaders
        assert not found, f"{path} imports {found}: nothing loaded from disk is unpickled"


def data_files():
    """What modules read from beside them: every tracked file but images' recipes and what is imported elsewhere."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", *MAY_IMPORT]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    found = [ROOT / name for name in names if name and not name.endswith(".py")]
    return [file for file in found if not file.name.startswith("Dockerfile") and file.parent.name != "dashboards"]


def test_the_wheel_holds_every_module_and_what_it_reads(tmp_path):
    build = "from setuptools import build_meta as b; import sys; b.build_wheel(sys.argv[1])"
    source = tmp_path / "source"
    copy = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(copy, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_symlink():
                target.symlink_to((ROOT / name).readlink())
            else:
                target.write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("headrace-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"headrace/{path.relative_to(ROOT).as_posix()}" for path in [*MODULES, *data_files()]}
    assert {"headrace/artifacts/report/style.css", "headrace/emulator/shapes.json"} <= expected
    assert {*expected, "headrace/__init__.py"} <= held
    assert not [name for name in held if name.startswith(("tests/", "examples/", "components/"))]


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["init", "--help"], ["predict", "--help"]])
def test_help_is_quick_because_imports_are_lazy(arguments):
    heavy = {
        "kfp",
        "pyarrow",
        "pandas",
        "numpy",
        "onnx",
        "onnxruntime",
        "lightgbm",
        "sklearn",
        "pydantic",
        "rich",
    }
    code = f"import sys\nfrom headrace.pipelines.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
