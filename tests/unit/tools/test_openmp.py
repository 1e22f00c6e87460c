"""LightGBM's OpenMP library on a machine that has none."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tools import openmp

BUNDLED = sorted(Path(sysconfig.get_path("purelib")).glob("scikit_learn.libs/libgomp-*.so*"))


def test_renamed_changes_the_name_and_keeps_every_offset():
    library = b"\x7fELF..\0libgomp-12ab34cd.so.1.0.0\0libgomp.so.1\0rest"
    changed = openmp.renamed(library, "libgomp-12ab34cd.so.1.0.0")
    assert changed == b"\x7fELF..\0libgomp.so.1" + b"\0" * 14 + b"libgomp.so.1\0rest"


@pytest.mark.parametrize("library", [b"no name", b"libgomp-1.so.1.0\0libgomp-1.so.1.0\0"])
def test_a_library_that_is_not_as_expected_is_refused(library):
    with pytest.raises(ValueError, match="does not carry its name as expected"):
        openmp.renamed(library, "libgomp-1.so.1.0")


def test_without_scikit_learn(tmp_path):
    with pytest.raises(ValueError, match="scikit-learn brings none"):
        openmp.install(tmp_path, tmp_path / "libgomp.so.1")


def test_what_is_installed_loads_under_the_plain_name(tmp_path):
    assert len(BUNDLED) == 1, "tools/openmp.py relies on scikit-learn's wheel bringing one"
    (tmp_path / "scikit_learn.libs").mkdir()
    (tmp_path / "scikit_learn.libs" / BUNDLED[0].name).write_bytes(BUNDLED[0].read_bytes())
    code = (
        "import ctypes, sys; from pathlib import Path; from tools import openmp; site = Path(sys.argv[1])\n"
        "openmp.install(site, site / 'libgomp.so.1')\n"
        "ctypes.CDLL('libgomp.so.1')\n"
        "maps = Path('/proc/self/maps').read_text()\n"
        "assert [line for line in maps.splitlines() if line.endswith('libgomp.so.1')][0].endswith(f'{site}/libgomp.so.1')"
    )
    root = Path(openmp.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "headrace-openmp.pth").read_text().startswith("import ctypes")
