"""Gives an environment the OpenMP library that LightGBM asks for, where the machine has none.

    .venv/bin/python tools/openmp.py

LightGBM's wheel needs the system's libgomp.so.1, which bare machines lack and only root can install. scikit-learn's
wheel brings the same library under a name of its own. A copy under the plain name, loaded when the interpreter
starts, is what the loader then finds: a library is known by the name in its file, not by where it lies.
"""

import ctypes
import re
import sys
import sysconfig
from pathlib import Path

NAME = b"libgomp.so.1"


def main() -> int:
    site = Path(sysconfig.get_path("purelib"))
    if loads(NAME.decode()):  # the system's, or the one that an earlier call put there
        return 0
    try:
        install(site, Path(sys.prefix) / "lib" / NAME.decode())
    except (OSError, ValueError) as error:
        print(f"setup: LightGBM needs libgomp.so.1 ({error}). Install it: apt-get install libgomp1", file=sys.stderr)
        return 1
    return 0


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def install(site: Path, target: Path) -> None:
    """Copies scikit-learn's library to `target`, and has every interpreter of the environment load it.

    Raises:
        ValueError: when scikit-learn brings no such library, or it does not load from there.
    """
    found = sorted(site.glob("scikit_learn.libs/libgomp-*.so*"))
    if not found:
        raise ValueError("scikit-learn brings none")
    target.write_bytes(renamed(found[0].read_bytes(), found[0].name))
    if not loads(str(target)) or not loads(NAME.decode()):
        raise ValueError(f"{found[0].name} does not stand in for it")
    # By the prefix and not by path, so that no quoting matters. Not there: no reason not to start.
    line = (
        "import ctypes, os, sys; p = os.path.join(sys.prefix, 'lib', 'libgomp.so.1'); "
        "os.path.exists(p) and ctypes.CDLL(p, mode=ctypes.RTLD_GLOBAL)\n"
    )
    (site / "headrace-openmp.pth").write_text(line)


def renamed(library: bytes, name: str) -> bytes:
    """The library with its own name (its ELF file's SONAME, which names its file) changed to the plain one."""
    old = name.encode() + b"\0"
    if len(re.findall(re.escape(old), library)) != 1 or len(old) <= len(NAME):
        raise ValueError(f"{name} does not carry its name as expected")
    return library.replace(old, NAME.ljust(len(old), b"\0"))


if __name__ == "__main__":
    sys.exit(main())
