"""`GET /docs`: one page, without a network, on which a prediction can be tried."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import headrace.artifacts.report as report
from headrace.serving.protocols.openapi import example_rows
from headrace.serving.protocols.openapi_document import document

if TYPE_CHECKING:
    from headrace.serving.app import App

_ROWS = 20  # samples that the page can fill the form with
_MOST_BYTES = 200_000  # of samples: pictures are large


def docs_page(app: App) -> str:
    """The whole page, as HTML."""
    main = app.router.main
    signature = main.bundle.signature
    script = Path(__file__).with_name("docs.js").read_text(encoding="utf-8")
    style = Path(report.__file__).with_name("style.css").read_text(encoding="utf-8")
    rows = example_rows(app, _ROWS)
    while len(rows) > 1 and len(json.dumps(rows)) > _MOST_BYTES:
        rows.pop()
    data = json.dumps(
        {
            "route": app.settings.predict_routes[0],
            "signature": signature.to_dict(),
            "samples": rows,
            "paths": document(app)["paths"],
        }
    ).replace("<", "\\u003c")
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    version = f" {main.version}" if main.version else ""
    values = {
        "title": html.escape(main.name + version),
        "task": html.escape(f"A model of {signature.task}: predicts {signature.label}."),
        "digest": html.escape(main.digest),
        "hash": hashed,
        "style": style,
        "data": data,
        "script": script,
    }
    template = Path(__file__).with_name("docs.html").read_text(encoding="utf-8")
    return re.sub("@@([a-z]+)@@", lambda found: values[found[1]], template)  # in one go: values may look like places
