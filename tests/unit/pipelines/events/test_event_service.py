"""The service over real HTTP: duplicates, order, failures, dead letters, and who may call."""

import base64
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.app import create_app
from headrace.pipelines.events.callers import Callers
from headrace.pipelines.events.handler import Handler
from headrace.pipelines.events.ledger import Ledger
from headrace.pipelines.events.rules import Rules
from headrace.pipelines.events.starting import LocalStarter, Started, StartError
from headrace.pipelines.events.store import SqliteStore, StoreError
from tests.unit.pipelines.events.test_event_reading import (
    finalized,
    notification,
    push,
    to_binary_event,
    to_structured_event,
)

RULES = Rules.model_validate(
    {
        "rules": [
            {
                "name": "new-file",
                "object": {"match": "gs://raw/in/**"},
                "pipeline": "/p.yaml",
                "parameters": {"source": "{uri}", "rows": 3},
            },
            {
                "name": "asked",
                "message": {"where": {"attributes.action": "retrain"}},
                "pipeline": "/p.yaml",
                "parameters": {"source": "{data.source}"},
            },
            {"name": "nightly", "schedule": {"cron": "0 3 * * *"}, "pipeline": "/p.yaml"},
        ]
    }
).rules


class Place:
    """Runs pipelines, and knows each key's run, as a platform does."""

    def __init__(self):
        self.runs, self.calls, self.fail, self.full, self.kill = {}, [], 0, False, False
        self.slow, self.never = 0.0, None

    def reserve(self):
        return not self.full

    def release(self):
        pass

    def start(self, rule, parameters, key, ended):
        self.calls.append((rule.name, dict(parameters), key))
        if self.slow:
            threading.Event().wait(self.slow)
        if self.never:
            raise self.never
        if self.fail:
            self.fail -= 1
            raise StartError("expected the place to answer. Received: 503")
        self.runs.setdefault(key, f"run-{len(self.runs) + 1}")
        if self.kill:
            raise KeyboardInterrupt  # the process dies here: the place has the run, and the ledger does not know
        return Started(self.runs[key], f"http://place/{self.runs[key]}")


@contextlib.contextmanager
def serving(handler, callers=None):
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, create_app(handler, callers or Callers("none")), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(url, headers, body=b"", path="/"):
    request = urllib.request.Request(url + path, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"{}")


def outcomes(answer):
    status, said = answer
    return status, [outcome["state"] for outcome in said["outcomes"]]


@pytest.fixture
def place():
    return Place()


class Clock:
    at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def handler(tmp_path, place, clock):
    ledger = Ledger(SqliteStore(tmp_path / "events.db"), attempts=3, now=clock)
    return Handler(lambda: RULES, ledger, place, own=("gs://raw/in/runs",))


@pytest.fixture
def url(handler):
    with serving(handler) as address:
        yield address


def test_an_object_starts_its_pipeline_once_by_whichever_way_it_is_told(url, place):
    binary, structured = to_binary_event(finalized()), to_structured_event(finalized(attributes={"id": "e2"}))
    assert outcomes(post(url, binary.headers, binary.body)) == (200, ["started"])
    assert outcomes(post(url, binary.headers, binary.body)) == (200, ["done"])
    assert outcomes(post(url, structured.headers, structured.body)) == (200, ["done"])
    status, said = post(url, *notification(), path="/pubsub")
    assert (status, said["outcomes"][0]["run"]) == (200, "run-1")
    assert [(rule, given) for rule, given, _ in place.calls] == [
        ("new-file", {"source": "gs://raw/in/may.csv", "rows": 3})
    ]


def test_an_older_state_after_a_newer_one_starts_nothing(url, place):
    assert outcomes(post(url, *notification("1700000000000009", "m9"))) == (200, ["started"])
    assert outcomes(post(url, *notification("1700000000000005", "m5"))) == (200, ["older"])
    assert outcomes(post(url, *notification("1700000000000010", "m10"))) == (200, ["started"])
    assert len(place.runs) == 2


def test_of_many_deliveries_at_once_one_starts_it(url, place):
    place.slow = 0.3
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: outcomes(post(url, *notification(id=f"m{n}"))), range(8)))
    assert len(place.calls) == 1
    assert answers.count((200, ["started"])) == 1
    assert all(answer in ((200, ["started"]), (503, ["busy"]), (200, ["done"])) for answer in answers)
    assert outcomes(post(url, *notification())) == (200, ["done"])


def test_what_fails_is_sent_again_and_becomes_a_dead_letter_in_the_end(url, place, handler):
    place.fail = 2
    assert [outcomes(post(url, *notification())) for _ in range(3)] == [
        (503, ["failed"]),
        (503, ["failed"]),
        (200, ["started"]),
    ]
    place.fail = 99
    answers = [outcomes(post(url, *notification("1700000000000077"))) for _ in range(4)]
    assert answers == [(503, ["failed"]), (503, ["failed"]), (200, ["dead"]), (200, ["done"])]
    [(_, letter)] = handler.ledger.dead()
    assert letter["error"] == "expected the place to answer. Received: 503"
    assert letter["event"]["subject"] == "gs://raw/in/may.csv"


def test_a_process_that_dies_after_the_start_starts_nothing_twice(handler, place, clock):
    from headrace.pipelines.events.reading import read_request

    event, place.kill = read_request(*notification()), True
    with pytest.raises(KeyboardInterrupt):
        handler.handle(event)
    place.kill = False
    assert [o.state for o in handler.handle(event)] == ["busy"]  # until the claim of the dead is over
    clock.at += 241
    assert [(o.state, o.run) for o in handler.handle(event)] == [("started", "run-1")]
    assert len(place.runs) == 1 and len({key for _, _, key in place.calls}) == 1


def test_a_process_that_dies_every_time_is_not_tried_for_ever(handler, place, clock):
    from headrace.pipelines.events.reading import read_request

    event, place.kill = read_request(*notification()), True
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            handler.handle(event)
        clock.at += 241
    assert [o.state for o in handler.handle(event)] == ["dead"]
    assert "ended the process" in handler.ledger.dead()[0][1]["error"]


def test_a_full_place_costs_no_attempt(url, place):
    place.full = True
    for _ in range(5):
        assert outcomes(post(url, *notification())) == (503, ["full"])
    place.full = False
    assert outcomes(post(url, *notification())) == (200, ["started"])


def test_messages_by_their_attributes_and_payload(url, place, handler):
    assert outcomes(post(url, *push(b'{"source": "gs://raw/x"}', {"action": "retrain"}))) == (200, ["started"])
    assert outcomes(post(url, *push(b'{"source": "gs://raw/x"}', {"action": "other"}, "m2"))) == (200, [])
    assert outcomes(post(url, *push(b'{"from": "gs://raw/x"}', {"action": "retrain"}, "m3"))) == (200, ["dead"])
    assert place.calls == [("asked", {"source": "gs://raw/x"}, place.calls[0][2])]
    assert "expected an event with data.source" in handler.ledger.dead()[0][1]["error"]


def test_what_never_can_be_started_is_a_dead_letter_at_once(url, place, handler):
    place.never = ValueError("embedded null byte")
    assert outcomes(post(url, *notification())) == (200, ["dead"])
    place.never = None
    assert outcomes(post(url, *notification())) == (200, ["done"])
    [(_, letter)] = handler.ledger.dead()
    assert letter["error"] == "expected a pipeline that can be started. Received: embedded null byte"


@pytest.mark.parametrize("odd", ["a\0b", "caf\udce9.csv"])
def test_a_field_that_no_process_can_be_given_holds_no_place(tmp_path, handler, odd):
    starter = LocalStarter(tmp_path / "home", at_once=1)
    here = Handler(lambda: RULES, handler.ledger, starter)
    with serving(here) as url:
        for id in ("m1", "m2"):
            asked = push(json.dumps({"source": odd}).encode(), {"action": "retrain"}, id)
            assert outcomes(post(url, *asked)) == (200, ["dead"])
    assert all("expected Unicode text without NUL" in letter["error"] for _, letter in handler.ledger.dead())
    assert starter.reserve()


# places of this machine


def one_place(starter):
    """Whether it has its one place again: no more, and no less."""
    found = starter.reserve(), starter.reserve()
    starter.release()
    return found == (True, False)


def begin(starter, **parameters):
    assert starter.reserve()
    return starter.start(RULES[0], parameters, "key", lambda state: None)


def test_a_start_that_fails_gives_its_place_back(tmp_path, monkeypatch):
    starter = LocalStarter(tmp_path, at_once=1)
    with pytest.raises(ValueError, match="null byte"):
        begin(starter, source="a\0b")
    assert one_place(starter)

    (tmp_path / "runs.db").write_text("no record of runs, and no database")
    with pytest.raises(HeadraceError, match="expected a readable SQLite record"):
        begin(starter)
    assert one_place(starter)
    (tmp_path / "runs.db").unlink()

    monkeypatch.setattr(sys, "executable", "/bin/false")  # it ends before it has said anything
    with pytest.raises(StartError, match="Received: exit code 1"):
        begin(starter)
    starter.wait()
    assert one_place(starter)


def test_a_run_that_no_thread_can_follow_is_ended_and_holds_no_place(tmp_path, monkeypatch):
    begun = []

    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    class Process(subprocess.Popen):
        def __init__(self, words, **others):
            super().__init__(["/bin/sleep", "600"], **others)
            begun.append(self)

    starter = LocalStarter(tmp_path, at_once=1)
    monkeypatch.setattr(threading, "Thread", NoThread)
    monkeypatch.setattr(subprocess, "Popen", Process)
    with pytest.raises(RuntimeError, match="new thread"):
        begin(starter)
    assert one_place(starter) and not starter.busy()
    assert begun[0].returncode == -signal.SIGKILL


def test_what_pipelines_write_themselves_starts_nothing(url, place):
    message = to_binary_event(finalized(name="in/runs/1/model.csv"))
    assert outcomes(post(url, message.headers, message.body)) == (200, [])
    assert place.calls == []


def test_a_schedule_starts_its_own_rule_once_an_hour(url, place):
    due = {"X-CloudScheduler-ScheduleTime": "2026-11-22T03:00:00Z"}
    assert outcomes(post(url, due, path="/schedule/nightly")) == (200, ["started"])
    assert outcomes(post(url, due, path="/schedule/nightly")) == (200, ["done"])
    late = {"X-CloudScheduler-ScheduleTime": "2026-11-21T03:00:00Z"}
    assert outcomes(post(url, late, path="/schedule/nightly")) == (200, ["older"])
    assert post(url, due, path="/schedule/weekly")[0] == 400
    assert post(url, {}, path="/schedule/nightly")[0] == 400


def test_what_cannot_be_read_is_a_400_and_too_much_a_413(url):
    assert post(url, {"Content-Type": "application/json"}, b"{")[0] == 400
    assert urllib.request.urlopen(f"{url}/health").status == 200
    app = create_app(Handler(list, None, None), Callers("none"))
    assert app.config["MAX_CONTENT_LENGTH"] > 10 * 2**20 * 4 / 3  # Pub/Sub's largest message in base64
    app.config["MAX_CONTENT_LENGTH"] = 10
    assert app.test_client().post("/", data=b"x" * 11).status_code == 413


def test_without_a_ledger_nothing_starts(url, place, handler, monkeypatch):
    def away(name):
        raise StoreError("expected Cloud Storage to answer")

    monkeypatch.setattr(handler.ledger.store, "read", away)
    status, said = post(url, *notification())
    assert (status, said["error"], place.calls) == (503, "expected Cloud Storage to answer", [])


def test_an_event_that_nobody_expected_does_not_end_the_service(url, place, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(place, "start", broken)
        request = urllib.request.Request(url, notification()[1], notification()[0], method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 500
        caught.value.close()
    assert outcomes(post(url, *notification("1700000000000099"))) == (200, ["started"])


# who may call


@pytest.fixture(scope="module")
def issuer():
    """Google's issuer, played by a key of our own, with its certificates on this machine."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID
    from google.auth import crypt, jwt

    class Issuer:
        def __init__(self):
            self.certificates, self.asked = {}, 0
            self.sign = self.key("k1")

        def key(self, id):
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
            now = datetime.now(UTC)
            made = (
                x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                .serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
                .sign(key, hashes.SHA256())
            )  # fmt: skip
            self.certificates[id] = made.public_bytes(serialization.Encoding.PEM).decode()
            private = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            return crypt.RSASigner.from_string(private, id)

        def token(self, signer=None, **claims):
            now = int(time.time())
            usual = {
                "iss": "https://accounts.google.com", "aud": "https://events.example", "iat": now, "exp": now + 600,
                "email": "invoker@p.iam.gserviceaccount.com", "email_verified": True,
            }  # fmt: skip
            return jwt.encode(signer or self.sign, {**usual, **claims}).decode()

    found = Issuer()

    class Certificates(BaseHTTPRequestHandler):
        def do_GET(self):
            found.asked += 1
            body = json.dumps(found.certificates).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Certificates)
    found.url = f"http://127.0.0.1:{server.server_port}/certs"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


CALLER = ("invoker@p.iam.gserviceaccount.com",)


def test_a_signed_token_is_checked(handler, place, issuer):
    callers = Callers("oidc", CALLER, "https://events.example", certs_url=issuer.url)
    now = int(time.time())
    wrong = {
        "nobody": ("", 401), "no bearer": ("Basic abc", 401), "no token": ("Bearer x", 401),
        "another audience": (f"Bearer {issuer.token(aud='https://other')}", 401),
        "another issuer": (f"Bearer {issuer.token(iss='https://evil.example')}", 401),
        "over": (f"Bearer {issuer.token(iat=now - 900, exp=now - 300)}", 401),
        "another account": (f"Bearer {issuer.token(email='x@y')}", 403),
        "not verified": (f"Bearer {issuer.token(email_verified=False)}", 403),
        "unsigned": (f"Bearer {issuer.token().rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE", 401),
        "changed": (f"Bearer {issuer.token()[:-8]}AAAAAAAA", 401),
    }  # fmt: skip
    with serving(handler, callers) as url:
        for case, (header, status) in wrong.items():
            headers = {**notification()[0], **({"Authorization": header} if header else {})}
            assert post(url, headers, notification()[1])[0] == status, case
            assert post(url, headers, path="/schedule/nightly")[0] == status, case
        assert place.calls == []
        asked = issuer.asked
        good = {**notification()[0], "Authorization": f"Bearer {issuer.token()}"}
        assert outcomes(post(url, good, notification()[1])) == (200, ["started"])
        assert outcomes(post(url, good, notification()[1])) == (200, ["done"])
        assert issuer.asked == asked  # certificates are kept
        assert urllib.request.urlopen(f"{url}/health").status == 200


def test_a_new_key_is_looked_up(issuer, monkeypatch):
    from headrace.pipelines.events import callers as module

    callers = Callers("oidc", CALLER, "https://events.example", certs_url=issuer.url)
    assert callers.check({"Authorization": f"Bearer {issuer.token()}"}) == CALLER[0]
    newer = issuer.token(issuer.key("k2"))
    with pytest.raises(module.NotAllowed):  # not more often than once a minute, whoever asks
        callers.check({"Authorization": f"Bearer {newer}"})
    monkeypatch.setattr(module, "_RETRY_S", 0.0)
    assert callers.check({"Authorization": f"Bearer {newer}"}) == CALLER[0]


def test_certificates_that_do_not_answer_are_no_yes(issuer):
    from headrace.pipelines.events.callers import NotAllowed

    callers = Callers("oidc", CALLER, "https://events.example", certs_url="http://127.0.0.1:9/certs")
    with pytest.raises(NotAllowed) as caught:
        callers.check({"Authorization": f"Bearer {issuer.token()}"})
    assert caught.value.status == 503


def test_behind_cloud_run_the_claims_are_looked_at(issuer):
    from headrace.pipelines.events.callers import NotAllowed

    def handed_on(**claims):
        return {"Authorization": f"Bearer {issuer.token(**claims).rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"}

    callers = Callers("iam", CALLER)
    assert callers.check(handed_on()) == CALLER[0]
    cases = [
        ({"authorization": f"Bearer {issuer.token()}"}, 401),
        (handed_on(email="x@y"), 403),
        (handed_on(exp=1), 401),
    ]
    for headers, status in [*cases, ({"authorization": "Bearer a.b"}, 401), ({"authorization": "Bearer a.b.c"}, 401)]:
        with pytest.raises(NotAllowed) as caught:
            callers.check(headers)
        assert caught.value.status == status
    text = base64.urlsafe_b64encode(b"[1]").decode()
    with pytest.raises(NotAllowed):
        callers.check({"authorization": f"Bearer a.{text}.SIGNATURE_REMOVED_BY_GOOGLE"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("open",), "AUTH"),
        (("iam",), "CALLERS"),
        (("oidc", CALLER), "AUDIENCE"),
        (("token", (), "", "short"), "TOKEN_FILE"),
    ],
)
def test_a_service_that_cannot_check_does_not_begin(given, told):
    with pytest.raises(HeadraceError, match=f"HEADRACE_EVENTS_{told}: expected"):
        Callers(*given)


def test_one_token_for_all(tmp_path, handler):
    from headrace.pipelines.events.settings import Settings

    (tmp_path / "token").write_text("a-secret-of-some-length\n")
    names = {"RULES": "x", "LEDGER": "x", "ON": "local", "AUTH": "token", "TOKEN_FILE": str(tmp_path / "token")}
    settings = Settings.of({f"HEADRACE_EVENTS_{name}": value for name, value in names.items()})
    assert "secret" not in repr(settings)
    with serving(handler, settings.known_callers()) as url:
        for header, status in (("Bearer another", 401), ("Bearer a-secret-of-some-lengt\u00e9", 401), ("", 401)):
            assert post(url, {**notification()[0], "Authorization": header}, notification()[1])[0] == status
        good = {**notification()[0], "Authorization": "Bearer a-secret-of-some-length"}
        assert outcomes(post(url, good, notification()[1])) == (200, ["started"])
    with pytest.raises(HeadraceError, match="TOKEN_FILE: expected a file"):
        Settings.of({f"HEADRACE_EVENTS_{name}": "/nothing" for name in names})


def test_settings_are_closed_unless_they_say_otherwise():
    from headrace.pipelines.events.settings import Settings

    given = {f"HEADRACE_EVENTS_{name}": "x" for name in ("RULES", "LEDGER", "ON")}
    assert Settings.of(given).auth == "iam"
    with pytest.raises(HeadraceError, match="CALLERS"):
        Settings.of(given).known_callers()
    with pytest.raises(HeadraceError, match="HEADRACE_EVENTS_LEDGER: expected this variable"):
        Settings.of({"HEADRACE_EVENTS_RULES": "x"})
    for text in ("0", "x", "nan", "1e9"):
        with pytest.raises(HeadraceError, match="HEADRACE_EVENTS_ATTEMPTS: expected a number"):
            Settings.of({**given, "HEADRACE_EVENTS_ATTEMPTS": text})


def test_what_terraform_sets_is_what_the_service_reads():
    import re
    from pathlib import Path

    root = Path(__file__).parents[4]
    documented = set(re.findall(r"`(HEADRACE_EVENTS_[A-Z_]+)`", (root / "docs" / "events.md").read_text()))
    read = {
        f"HEADRACE_EVENTS_{name}"
        for name in re.findall(r'value\("([A-Z_]+)"', (root / "pipelines" / "events" / "settings.py").read_text())
    }
    assert documented == read
    given = set(re.findall(r"HEADRACE_EVENTS_[A-Z_]+", (root / "infra" / "events.tf").read_text()))
    assert given <= read and {"HEADRACE_EVENTS_RULES", "HEADRACE_EVENTS_LEDGER", "HEADRACE_EVENTS_ON"} <= given
