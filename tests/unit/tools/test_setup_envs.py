"""The parts of the set-up that decide: stamps, pins, settings, the wheel from an index, interpreters."""

import hashlib
import http.server
import io
import os
import platform
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from tools import setup_envs as setup

MACHINE = platform.machine()
WHEEL = f"uv-0.9.1-py3-none-manylinux_2_17_{MACHINE}.manylinux2014_{MACHINE}.whl"
LOCK = """\
uv==0.9.1 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
uvicorn==0.54.0 \\
    --hash=sha256:cccc
"""


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """A machine without settings: an empty home, and nothing of uv's or pip's in the environment."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def project(monkeypatch, tmp_path):
    """A project of its own in a folder with a space."""
    root = tmp_path / "the project"
    (root / "requirements").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "requirements" / "main.lock").write_text(LOCK)
    (root / "requirements" / "dev.lock").write_text("pytest==9 --hash=sha256:dddd\n")
    monkeypatch.setattr(setup, "ROOT", root)
    monkeypatch.setattr(setup, "LOCKS", root / "requirements")
    monkeypatch.setattr(setup, "UV_HOME", root / ".venv-uv")
    monkeypatch.setattr(setup, "PREFIX", {"main": root / ".venv"})
    return root


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def pip_conf(monkeypatch, tmp_path, text: str) -> None:
    path = tmp_path / "pip.conf"
    path.write_text(text)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))


# --- stamps


def test_stamp_of_dev_serves_main_but_not_the_reverse(project):
    main = setup.stamp_text([project / "requirements" / "main.lock"])
    dev = setup.stamp_text([project / "requirements" / "main.lock", project / "requirements" / "dev.lock"])
    assert setup.is_current(dev, main)
    assert not setup.is_current(main, dev)
    assert not setup.is_current("", main)


@pytest.mark.parametrize("changed", ["pyproject.toml", "requirements/main.lock"])
def test_stamp_follows_what_the_environment_is_made_of(project, changed):
    before = setup.stamp_text([project / "requirements" / "main.lock"])
    with (project / changed).open("a") as file:
        file.write("\n")
    after = setup.stamp_text([project / "requirements" / "main.lock"])
    assert not setup.is_current(before, after)
    assert setup.is_sound(before)  # brought up to date in place


def test_half_built_or_moved_environment_is_built_anew(project, monkeypatch):
    stamp = setup.stamp_text([project / "requirements" / "main.lock"])
    assert not setup.is_sound("")
    monkeypatch.setattr(setup, "ROOT", project.parent / "elsewhere")
    assert not setup.is_sound(stamp)


def fake_uv(project: Path, sync: str = "exit 0") -> Path:
    """A uv that writes down its calls; `uv venv` makes the folder, and leaves nothing of the old one."""
    return executable(
        project / ".venv-uv" / "bin" / "uv",
        f'''echo "$@" >> "{project}/calls"
case "$1 $2" in
  "--version "*) echo "uv 0.9.1 (x86_64)";;
  "cache dir") echo "{project}/cache";;
  "venv "*) rm -rf "{project}/.venv"; mkdir -p "{project}/.venv/bin"; cp /bin/true "{project}/.venv/bin/python";;
  "pip sync") {sync};;
esac
''',
    )


def calls(project: Path) -> list[str]:
    lines = (project / "calls").read_text().splitlines()
    (project / "calls").unlink()
    return [" ".join(line.split()[:2]) for line in lines if not line.startswith(("--version", "cache"))]


def test_build_once_then_nothing_then_in_place(project, monkeypatch, capsys):
    fake_uv(project)
    monkeypatch.setattr(setup, "python_for", lambda uv, env: sys.executable)
    monkeypatch.setattr(sys, "argv", ["setup_envs.py", "main"])
    assert setup.main() == 0
    assert calls(project) == ["venv --quiet", "pip sync", "pip install"]
    assert capsys.readouterr().out.splitlines() == [
        "setup: building .venv: 2 packages from requirements/main.lock",
        "setup: .venv is ready (0 s)",
    ]
    assert setup.main() == 0
    assert not (project / "calls").exists()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "argv", ["setup_envs.py", "--dev", "main"])
    assert setup.main() == 0
    assert calls(project) == ["pip sync", "pip install"]
    (project / ".venv" / "bin" / "python").unlink()  # as when the machine's Python was removed
    assert setup.main() == 0
    assert calls(project) == ["venv --quiet", "pip sync", "pip install"]


@pytest.mark.parametrize(
    ("end", "said"), [("exit 2", "failed with exit code 2"), ("kill -9 $$", "was killed by signal 9")]
)
def test_failed_build_says_so_and_the_next_starts_over(project, monkeypatch, capsys, end, said):
    fake_uv(project, sync=end)
    monkeypatch.setattr(setup, "python_for", lambda uv, env: sys.executable)
    monkeypatch.setattr(sys, "argv", ["setup_envs.py", "main"])
    assert setup.main() == 1
    assert capsys.readouterr().err.startswith(f"setup: `uv pip sync ...` {said}; its message, if any, is above.")
    assert not (project / ".venv" / "headrace-env").exists()
    calls(project)
    fake_uv(project)
    assert setup.main() == 0
    assert calls(project) == ["venv --quiet", "pip sync", "pip install"]


def test_two_at_once_take_turns(project):
    with (project / ".venv.lock").open("w") as first:
        setup.wait_for(first)
        code = f"from tools import setup_envs as s; s.wait_for(open({str(project / '.venv.lock')!r}, 'w')); print('in')"
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "setup: waiting for another set-up of this folder\n"
            first.close()
            assert second.stdout.readline() == "in\n"


def test_lock_outlives_a_killed_parent_while_its_child_runs(project):
    lock = str(project / ".venv.lock")
    code = (
        "import os\nfrom tools import setup_envs as s\n"
        f"f = open({lock!r}, 'w'); s.wait_for(f)\n"
        "s.run('/bin/sh', '-c', 'echo up; read line', env=dict(os.environ))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdin is not None and parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    parent.kill()
    parent.wait()
    import fcntl

    with Path(lock).open("w") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        parent.stdin.close()  # ends the child
        fcntl.flock(file, fcntl.LOCK_EX)
    parent.stdout.close()


# --- pins and settings


def test_pinned(project):
    assert setup.pinned("uv") == ("0.9.1", ["sha256:aaaa", "sha256:bbbb"])
    with pytest.raises(setup.SetupError, match="should pin flask with hashes"):
        setup.pinned("flask")


def test_the_projects_own_lock_pins_uv():
    version, hashes = setup.pinned("uv")
    assert version[0].isdigit()
    assert hashes and all(h.startswith("sha256:") for h in hashes)


def test_no_index_says_what_to_do():
    with pytest.raises(setup.SetupError, match="Install python3-pip .* or set PIP_INDEX_URL"):
        setup.index_url()


def test_index_of_pips_settings_and_what_goes_before_it(monkeypatch, tmp_path):
    pip_conf(monkeypatch, tmp_path, "[global]\nindex-url = https://file.example/simple%20x/\n")
    assert setup.index_url() == "https://file.example/simple%20x/"
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    assert setup.index_url() == "https://pip.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "inner=https://uv.example/simple")
    assert setup.index_url() == "https://uv.example/simple"


def test_index_in_the_home_folder_and_broken_settings(monkeypatch, tmp_path):
    monkeypatch.delenv("PIP_CONFIG_FILE")
    path = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text("[global]\nindex-url = https://home.example/simple\n")
    assert setup.pip_setting("index-url") == "https://home.example/simple"
    path.write_text("index-url = https://home.example/simple\n")
    with pytest.raises(setup.SetupError, match=r"pip's settings cannot be read"):
        setup.pip_setting("index-url")


def test_uv_gets_pips_index_and_certificates_and_nothing_foreign(project, monkeypatch, tmp_path):
    uv = str(fake_uv(project))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("UV_SYSTEM_PYTHON", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    pip_conf(monkeypatch, tmp_path, "[global]\nindex-url = https://a.example/simple\ncert = ~/ca.pem\n")
    env = setup.uv_environment(uv)
    assert env["UV_DEFAULT_INDEX"] == "https://a.example/simple"
    assert env["SSL_CERT_FILE"] == str(tmp_path / "home" / "ca.pem")
    assert not {"UV_SYSTEM_PYTHON", "PYTHONPATH", "UV_CACHE_DIR"} & set(env)
    monkeypatch.setenv("UV_INDEX_URL", "https://own.example/simple")
    assert "UV_DEFAULT_INDEX" not in setup.uv_environment(uv)


def test_cache_moves_into_the_project_when_the_home_is_not_writable(project):
    uv = fake_uv(project)
    (project / "cache").write_text("a file where the folder should be")
    assert setup.uv_environment(str(uv))["UV_CACHE_DIR"] == str(project / ".venv-uv" / "cache")


# --- the wheel from an index


def wheel(said: str = "uv 0.9.1") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("uv/__init__.py", "")
        archive.writestr("uv-0.9.1.data/scripts/uvx", "not this one")
        archive.writestr("uv-0.9.1.data/scripts/uv", f"#!/bin/sh\necho {said}\n")
    return buffer.getvalue()


class Index(http.server.BaseHTTPRequestHandler):
    pages: dict[str, bytes] = {}  # noqa: RUF012 - set by each test
    logins: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.logins.append(self.headers.get("Authorization", ""))
        content = self.pages.get(self.path)
        self.send_response(200 if content is not None else 404)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *args):
        pass


@pytest.fixture
def index(monkeypatch):
    """A package index on this machine: its handler's class, to put pages into."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    Index.pages, Index.logins = {}, []
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("no_proxy", "*")
    yield Index
    server.shutdown()
    server.server_close()


def page(*links: str) -> bytes:
    return ("<html><a>no link</a>" + "".join(f'<a href="{link}">x</a>' for link in links)).encode()


def sha(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_links():
    links = setup.Links()
    links.feed('<a href="a.whl#sha256=1&amp;x">a</a><A HREF="b.whl">b</A><a>none</a><link href="c"><a href="">d</a>')
    assert links.urls == ["a.whl#sha256=1&x", "b.whl"]


def test_the_wheel_for_this_machine_is_taken(index):
    content = wheel()
    index.pages["/simple/uv/"] = page(
        "../../files/uv-0.9.1.tar.gz",
        "../../files/uv-0.9.1-py3-none-musllinux_1_1_x86_64.whl",
        "../../files/uv-0.9.1-py3-none-manylinux_2_17_riscv9.whl",
        f"../../files/{WHEEL.replace('0.9.1', '0.9.11')}",
        f"../../files/{WHEEL}#sha256=whatever",
    )
    index.pages[f"/files/{WHEEL}"] = content
    assert setup.fetch_wheel("uv", "0.9.1", ["sha256:other", sha(content)]) == content


def test_a_wheel_with_another_hash_is_refused(index):
    index.pages["/simple/uv/"] = page(WHEEL)
    index.pages[f"/simple/uv/{WHEEL}"] = wheel()
    with pytest.raises(setup.SetupError, match="does not have a hash that main.lock expects"):
        setup.fetch_wheel("uv", "0.9.1", [sha(b"something else")])


def test_an_index_without_the_wheel(index):
    index.pages["/simple/uv/"] = page("uv-0.9.1-py3-none-win_amd64.whl")
    with pytest.raises(setup.SetupError, match=f"offers no uv 0.9.1 wheel for {MACHINE}. Install python3-pip"):
        setup.fetch_wheel("uv", "0.9.1", [])


def test_login_goes_to_the_index_and_into_no_message(index, monkeypatch):
    port = os.environ["PIP_INDEX_URL"].split(":")[2]
    monkeypatch.setenv("PIP_INDEX_URL", f"http://anna:se%40cret@127.0.0.1:{port}")
    with pytest.raises(setup.SetupError, match="cannot fetch http://127.0.0.1:.*404") as raised:
        setup.fetch_wheel("uv", "0.9.1", [])
    assert index.logins == ["Basic YW5uYTpzZUBjcmV0"]
    assert "cret" not in str(raised.value)


def test_an_index_that_is_not_there(index, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(setup.SetupError, match=r"cannot fetch .*refused.*Is the package index reachable\?"):
        setup.fetch_wheel("uv", "0.9.1", [])


def test_uv_is_fetched_without_pip_and_kept(project, index, monkeypatch, capsys):
    content = wheel()
    (project / "requirements" / "main.lock").write_text(f"uv==0.9.1 \\\n    --hash={sha(content)}\n")
    index.pages["/simple/uv/"] = page(WHEEL)
    index.pages[f"/simple/uv/{WHEEL}"] = content
    monkeypatch.setattr(setup, "importable", lambda module: False)
    uv = project / ".venv-uv" / "bin" / "uv"
    executable(uv, "exit 1")  # half of an earlier one
    assert setup.find_uv() == str(uv)
    assert "echo uv 0.9.1" in uv.read_text()
    assert uv.stat().st_mode & stat.S_IXUSR
    assert sorted(path.name for path in uv.parent.iterdir()) == ["uv"]
    index.pages.clear()
    assert setup.find_uv() == str(uv)
    assert capsys.readouterr().out == "setup: fetching uv 0.9.1\n"


# --- interpreters


def test_python_for_takes_the_right_one_of_several(monkeypatch, tmp_path):
    folder = tmp_path / "bin"
    newer = executable(folder / "python3", "echo 3.13")
    right = executable(folder / "python3.11", "echo 3.11")
    monkeypatch.setattr(sys, "executable", str(newer))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert setup.python_for("uv", {}) == str(right)
    right.write_bytes(b"\0not a program")
    right.chmod(0o755)
    executable(newer, "echo 3.11")
    assert setup.python_for("uv", {}) == str(newer)


def without_311(monkeypatch, tmp_path, uv: str) -> str:
    folder = tmp_path / "bin"
    monkeypatch.setattr(sys, "executable", str(executable(folder / "python3", "echo 3.12")))
    monkeypatch.setenv("PATH", str(folder))
    return str(executable(folder / "uv", uv))


def test_python_for_asks_uv(monkeypatch, tmp_path):
    uv = without_311(monkeypatch, tmp_path, 'if [ "$2" = find ]; then echo /opt/python3.11; fi')
    assert setup.python_for(uv, dict(os.environ)) == "/opt/python3.11"


def test_python_for_fetches_one_or_says_what_to_install(monkeypatch, tmp_path, capsys):
    uv = without_311(monkeypatch, tmp_path, 'if [ "$2" = find ]; then exit 2; fi')
    assert setup.python_for(uv, dict(os.environ)) == "3.11"
    assert capsys.readouterr().out == "setup: no Python 3.11 on this machine; asking uv to fetch one\n"
    executable(Path(uv), "exit 2")
    with pytest.raises(setup.SetupError, match=r"need Python 3.11 .* Received: .*python3\. Install python3.11"):
        setup.python_for(uv, dict(os.environ))


# --- the command


def test_an_unknown_environment_is_refused():
    done = subprocess.run([sys.executable, setup.__file__, "prod"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "expected main or tfx. Received: prod" in done.stderr
