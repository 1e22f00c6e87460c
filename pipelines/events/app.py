"""The service: events by HTTP, on Cloud Run, in a cluster, or on this machine.

    POST /                CloudEvents (Eventarc and others), and pushes of Pub/Sub
    POST /pubsub          the same
    POST /schedule/NAME   Cloud Scheduler
    GET  /health          200 while the process answers

A 2xx means that nobody need send it again: started, started before, meant by no rule, or kept as a dead letter. A 503
asks for it again; a 400 was no event that can be read, and the subscription's own dead letters take it in the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.callers import Callers, NotAllowed
from headrace.pipelines.events.event import Event, EventError
from headrace.pipelines.events.handler import AGAIN, DONE, STARTED, Handler
from headrace.pipelines.events.ledger import Ledger
from headrace.pipelines.events.reading import read_request, read_schedule
from headrace.pipelines.events.rules import RulesFile, load_rules
from headrace.pipelines.events.settings import Settings
from headrace.pipelines.events.starting import LocalStarter, PlatformStarter, Starter
from headrace.pipelines.events.store import open_store

if TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

MOST_BYTES = 16 * 2**20  # Pub/Sub's largest message is 10 MB, a third more in base64
_AGAIN_S = "10"


def create_app(handler: Handler, callers: Callers) -> Flask:
    """The WSGI application."""
    from flask import Flask, jsonify, request

    app = Flask("headrace.events")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES

    def answer(read: Callable[[], Event], only: str = "") -> ResponseReturnValue:
        callers.check(dict(request.headers))
        event = read()
        outcomes = handler.handle(event, only)
        again = any(outcome.state in AGAIN for outcome in outcomes)
        said = jsonify(event=event.id, subject=event.subject, outcomes=[asdict(outcome) for outcome in outcomes])
        return (said, 503, {"Retry-After": _AGAIN_S}) if again else (said, 200)

    @app.post("/")
    @app.post("/pubsub")
    def events() -> ResponseReturnValue:
        return answer(lambda: read_request(dict(request.headers), request.get_data()))

    @app.post("/schedule/<name>")
    def schedule(name: str) -> ResponseReturnValue:
        def read() -> Event:
            if not any(rule.name == name and rule.schedule is not None for rule in handler.rules()):
                raise EventError(f"schedule {name}: expected a rule of this name with a schedule. Received: none")
            return read_schedule(name, dict(request.headers))

        return answer(read, name)

    @app.get("/health")
    def health() -> ResponseReturnValue:
        return jsonify(status="ok")

    @app.errorhandler(NotAllowed)
    def not_allowed(error: NotAllowed) -> ResponseReturnValue:
        return jsonify(error=str(error)), error.status

    @app.errorhandler(EventError)
    def unreadable(error: EventError) -> ResponseReturnValue:
        log("ERROR", str(error))
        return jsonify(error=str(error)), 400

    @app.errorhandler(HeadraceError)
    def later(error: HeadraceError) -> ResponseReturnValue:
        log("ERROR", str(error))
        return jsonify(error=str(error)), 503, {"Retry-After": _AGAIN_S}

    return app


def open_handler(settings: Settings, home: Path) -> Handler:
    """The handler that the environment asks for.

    Raises:
        HeadraceError: rules, ledger or place are not what they should be.
    """

    def say(text: str, fields: dict[str, Any]) -> None:
        log(
            "ERROR" if fields["state"] == "dead" else "WARNING" if fields["state"] == "failed" else "INFO", text, fields
        )

    rules = RulesFile(settings.rules, lambda text: log("ERROR", text))
    ledger = Ledger(open_store(settings.ledger), lease_s=settings.lease_s, attempts=settings.attempts)
    return Handler(rules, ledger, _starter(settings, home), own=(settings.root, settings.ledger), say=say)


def _starter(settings: Settings, home: Path) -> Starter:
    if settings.on == "local":
        return LocalStarter(home, say=lambda text: log("INFO", text))
    from headrace.platforms.running import open_runs

    if settings.on.startswith("vertex:") and not settings.root.startswith("gs://"):  # said now, not at the first event
        raise HeadraceError(
            f"HEADRACE_EVENTS_ROOT: expected gs://BUCKET/FOLDER, where runs on Vertex AI put their outputs. "
            f"Received: {settings.root!r}"
        )
    return PlatformStarter(
        open_runs(settings.on),
        root=settings.root,
        service_account=settings.service_account,
        registry=settings.registry,
    )


def retry(settings: Settings, home: Path, ledger: Ledger, keys: Sequence[str], say: Callable[[str], None]) -> bool:
    """Starts what dead letters are about, each for its own rule; of this machine, waits for the end.

    Returns:
        Whether all were started.

    Raises:
        HeadraceError: no such dead letter, or rules, ledger or place are not what they should be.
    """
    rules, starter = load_rules(settings.rules), _starter(settings, home)
    handler = Handler(lambda: rules, ledger, starter, say=lambda text, _: say(text))
    well = True
    for key in keys:
        rule, event = ledger.revive(key)
        outcomes = handler.handle(event, rule)
        if not outcomes:
            say(f"{key}: no rule {rule} means it any more")
        well = well and any(outcome.state in (STARTED, DONE) for outcome in outcomes)
        if isinstance(starter, LocalStarter):
            starter.wait()
    return well


def log(severity: str, text: str, fields: dict[str, Any] | None = None) -> None:
    """A line of JSON on standard output, as Cloud Logging reads it."""
    print(json.dumps({"severity": severity, "message": text, **(fields or {})}, default=str), flush=True)


def serve(settings: Settings, home: Path, host: str, port: int) -> None:
    """Answers until SIGTERM: one process, eight threads, as starting a pipeline is waiting.

    Raises:
        HeadraceError: callers or place are not what they should be; the rest is found when the process begins.
    """
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

    callers = settings.known_callers()

    class Service(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            self.cfg.set("bind", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            self.cfg.set("workers", 1)
            self.cfg.set("worker_class", "gthread")
            self.cfg.set("threads", 8)
            self.cfg.set("timeout", 0)  # Cloud Run has a limit of its own
            self.cfg.set("graceful_timeout", 30)
            self.cfg.set("control_socket_disable", True)

        def load(self) -> Flask:
            try:  # in the worker: clients have threads, and a fork would lose them
                return create_app(open_handler(settings, home), callers)
            except HeadraceError as error:
                log("CRITICAL", str(error))
                sys.exit(3)

    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    Service().run()
