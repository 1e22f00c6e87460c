"""Builds the project's virtual environments from the hashed locks, on a machine that has only python3.

    python3 tools/setup_envs.py [--dev] [main] [tfx]

`uv` comes first, at the version and with the hash that requirements/main.lock names: by pip where there is
one, else straight from the package index that pip's settings name. Then each environment is made equal to
its lock, with compiled bytecode, and this repository is installed into it as an editable package. A stamp
makes the second call a matter of milliseconds. Standard library only; runs on any Python from 3.8 on.
"""

import argparse
import configparser
import fcntl
import hashlib
import html.parser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
PREFIX = {"main": ROOT / ".venv", "tfx": ROOT / ".venv-tfx"}
PYTHON = "3.11"  # what both locks were resolved for


class SetupError(Exception):
    """A reason why an environment cannot be built, with what to do about it."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the project's environments from their locks.")
    parser.add_argument("envs", nargs="*", default=["main", "tfx"], metavar="main|tfx")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    args = parser.parse_args()
    unknown = set(args.envs) - set(PREFIX)
    if unknown:
        parser.error(f"expected main or tfx. Received: {', '.join(sorted(unknown))}")
    lock_file = (ROOT / ".venv.lock").open("w")
    fcntl.flock(lock_file, fcntl.LOCK_EX)  # two `make` at once must not build the same folder
    try:
        for env in args.envs:
            build(env, dev=args.dev and env == "main")
    except (SetupError, subprocess.CalledProcessError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def build(env: str, dev: bool) -> None:
    """Makes one environment equal to its lock, or returns at once when its stamp says that it is."""
    prefix = PREFIX[env]
    stamp = prefix / "headrace-env"
    locks = [LOCKS / f"{env}.lock"] + ([LOCKS / "dev.lock"] if dev else [])
    wanted = stamp_text(locks)
    found = stamp.read_text() if stamp.exists() else ""
    if found.splitlines()[: len(wanted.splitlines())] == wanted.splitlines():
        return
    started = time.monotonic()
    print(f"setup: building {prefix.name} from {' and '.join(f'requirements/{p.name}' for p in locks)}", flush=True)
    uv = find_uv()
    if not (prefix / "bin" / "python").exists():
        run(uv, "venv", "--quiet", "--python", python_for(uv), str(prefix))
    stamp.unlink(missing_ok=True)
    target = {"VIRTUAL_ENV": str(prefix)}
    run(uv, "pip", "sync", "--require-hashes", "--compile-bytecode", *map(str, locks), env=target)
    run(uv, "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-e", str(ROOT), env=target)
    partial = stamp.with_suffix(".partial")
    partial.write_text(wanted)
    partial.replace(stamp)
    print(f"setup: {prefix.name} is ready ({time.monotonic() - started:.0f} s)", flush=True)


def stamp_text(locks: "list[Path]") -> str:
    """One line per input of an environment; `main` is a prefix of `main` with `dev`."""
    lines = [f"project {digest(ROOT / 'pyproject.toml')} {ROOT}"]
    lines += [f"{lock.name} {digest(lock)}" for lock in locks]
    return "\n".join(lines) + "\n"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*command: str, env: "dict[str, str] | None" = None) -> None:
    subprocess.run(command, check=True, env={**os.environ, **(env or {})})


def python_for(uv: str) -> str:
    """An interpreter of the locks' Python version; uv fetches one only where none is installed."""
    for name in (sys.executable, f"python{PYTHON}", "python3"):
        path = shutil.which(name) if name else None
        if path and version_of(path) == PYTHON:
            return path
    found = subprocess.run([uv, "python", "find", PYTHON], capture_output=True, text=True)
    if found.returncode == 0:
        return found.stdout.strip()
    print(f"setup: no Python {PYTHON} on this machine; asking uv to fetch one", flush=True)
    if subprocess.run([uv, "python", "install", PYTHON]).returncode == 0:
        return PYTHON
    raise SetupError(
        f"the locks need Python {PYTHON} (TFX has no newer one). Received: {sys.version.split()[0]} at "
        f"{sys.executable}. Install python{PYTHON} with its venv module, and run this again."
    )


def version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip()


def find_uv() -> str:
    """The pinned uv: the one in .venv, or one installed into .venv-uv first."""
    version, hashes = pinned("uv")
    for prefix in (PREFIX["main"], ROOT / ".venv-uv"):
        uv = prefix / "bin" / "uv"
        if uv.exists() and version in subprocess.run([uv, "--version"], capture_output=True, text=True).stdout:
            return str(uv)
    home = ROOT / ".venv-uv"
    print(f"setup: fetching uv {version}", flush=True)
    if importable("pip"):
        requirement = f"uv=={version} " + " ".join(f"--hash={h}" for h in hashes)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(requirement + "\n")
            file.flush()
            run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes",
                "--disable-pip-version-check", "--upgrade", "--target", str(home), "-r", file.name,
                env={"PIP_USER": "0", "PIP_BREAK_SYSTEM_PACKAGES": "1"})  # fmt: skip
    else:
        unpack(fetch_wheel("uv", version, hashes), home)
    return str(home / "bin" / "uv")


def importable(module: str) -> bool:
    return subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True).returncode == 0


def pinned(name: str) -> "tuple[str, list[str]]":
    """The version and the hashes by which main.lock names a package."""
    text = (LOCKS / "main.lock").read_text()
    entry = re.search(rf"^{name}==(\S+)((?: \\\n\s+--hash=\S+)+)", text, re.MULTILINE)
    if not entry:
        raise SetupError(f"requirements/main.lock should pin {name} with hashes, and does not: run `make lock`")
    return entry.group(1), re.findall(r"--hash=(\S+)", entry.group(2))


def index_url() -> str:
    """The package index of pip's own settings: environment first, then its configuration files."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(variable):
            return os.environ[variable]
    config = configparser.ConfigParser(interpolation=None)
    files = [os.environ.get("PIP_CONFIG_FILE", ""), "/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf"]
    config.read([Path(file).expanduser() for file in files if file])
    url = config.get("global", "index-url", fallback="")
    if url:
        return url
    raise SetupError(
        "python3 here has no pip, and no package index is set by which to fetch uv without it. "
        "Install python3-pip (or python3-venv), or set PIP_INDEX_URL, and run this again."
    )


class Links(html.parser.HTMLParser):
    """Collects the links of an index page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls = []

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.urls.append(dict(attrs).get("href", ""))


def fetch_wheel(name: str, version: str, hashes: "list[str]") -> Path:
    """Downloads the wheel for this machine from the index, and checks it against the lock's hashes."""
    page = index_url().rstrip("/") + f"/{name}/"
    machine = os.uname().machine
    links = Links()
    with urllib.request.urlopen(page, timeout=60) as response:
        links.feed(response.read().decode())
    pattern = re.compile(rf"/{name}-{re.escape(version)}-[^/]*manylinux[^/]*{machine}\.whl")
    for url in links.urls:
        if not pattern.search(url):
            continue
        with urllib.request.urlopen(urllib.parse.urljoin(page, url.split("#")[0]), timeout=180) as response:
            content = response.read()
        if "sha256:" + hashlib.sha256(content).hexdigest() not in hashes:
            raise SetupError(f"{name} {version} from the index does not have the hash that main.lock expects")
        path = Path(tempfile.mkdtemp()) / "uv.whl"
        path.write_bytes(content)
        return path
    raise SetupError(
        f"the index offers no {name} {version} wheel for {machine}; install python3-pip and run this again"
    )


def unpack(wheel: Path, home: Path) -> None:
    """Lays out the one thing needed of the wheel: its executable."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            if entry.endswith(".data/scripts/uv"):
                target = home / "bin" / "uv"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
                target.chmod(0o755)
    shutil.rmtree(wheel.parent)


if __name__ == "__main__":
    sys.exit(main())
