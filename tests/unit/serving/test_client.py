"""The client: CSV cells to instances, and one sentence for whatever goes wrong."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import Access, Client, predict, read_csv

INPUTS: list[dict[str, Any]] = [
    {"name": "n", "type": "number"},
    {"name": "b", "type": "boolean"},
    {"name": "c", "type": "category"},
    {"name": "d", "type": "date"},
]


def rows(tmp_path: Path, text: str | bytes) -> list[dict[str, Any]]:
    file = tmp_path / "rows.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_csv(file, INPUTS))


def test_cells_are_converted_by_the_models_types(tmp_path: Path) -> None:
    text = "﻿id,d,c,b,n\n7,2024-03-01,007,true,42\n8,,,,\n9,2024-03-01T10:00,a b,0,-1.5e3\n\n"
    assert rows(tmp_path, text) == [
        {"n": 42, "b": True, "c": "007", "d": "2024-03-01"},
        {"n": None, "b": None, "c": None, "d": None},
        {"n": -1500.0, "b": False, "c": "a b", "d": "2024-03-01T10:00"},
    ]


def test_what_was_missing_in_training_is_missing_here(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("n,b,c,d\nNA,NA,NA,NA\n1,true,na,\n")
    assert list(read_csv(file, INPUTS, ["", "NA"])) == [
        {"n": None, "b": None, "c": None, "d": None},
        {"n": 1, "b": True, "c": "na", "d": None},
    ]


def test_headers_are_read_as_in_training(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(" n ,\n5,x\n")
    inputs = [{"name": "n", "type": "number"}, {"name": "unnamed_2", "type": "category"}]
    assert list(read_csv(file, inputs)) == [{"n": 5, "unnamed_2": "x"}]


@pytest.mark.parametrize(("name", "separator", "text"), [("a.tsv", None, "n\tb\tc\td"), ("a.csv", ";", "n;b;c;d")])
def test_separators_are_those_of_training(tmp_path: Path, name: str, separator: str | None, text: str) -> None:
    file = tmp_path / name
    file.write_text(f"{text}\n{text.replace('n', '1').replace('b', 'true')}\n")
    assert list(read_csv(file, INPUTS, separator=separator)) == [{"n": 1, "b": True, "c": "c", "d": "d"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns n, b, c, d. Received: an empty file"),
        ("\nn,b,c,d\n", "expected the columns n, b, c, d. Received: an empty line, the first"),
        ("n,c,d\n", "expected the columns b. Received: n, c, d"),
        ("n,b,c,d\n1,1,x\n", "row 1: expected 4 cells. Received: 3"),
        ("n,b,c,d\n1,1,x,\nNA,1,x,\n", "row 2, n: expected a number or nothing. Received: 'NA'"),
        ("n,b,c,d\nnan,1,x,\n", "row 1, n: expected a number or nothing. Received: 'nan'"),
        ("n,b,c,d\n1e999,1,x,\n", "row 1, n: expected a number or nothing. Received: '1e999'"),
        ("n,b,c,d, n\n1,1,x,,2\n", "expected each column name once. Received: n more than once"),
        ("n,b,c,d\n1,yes,x,\n", "row 1, b: expected true, false, 1, 0 or nothing. Received: 'yes'"),
        (b"n,b,c,d\n1,1,\xff,\n", "expected text in UTF-8. Received: other bytes"),
        ('n,b,c,d\n1,1,"x\n', "expected CSV. Received: unexpected end of data"),
    ],
)
def test_a_wrong_file_says_where(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(HeadraceError) as refused:
        rows(tmp_path, text)
    assert str(refused.value) == f"{tmp_path / 'rows.csv'}: {message}"


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match=r"expected a CSV file\. Received: No such file or directory"):
        list(read_csv(tmp_path / "none.csv", INPUTS))


def test_nobody_there() -> None:
    with pytest.raises(HeadraceError) as refused:
        predict("http://127.0.0.1:9", [{}])
    assert str(refused.value) == (
        "http://127.0.0.1:9: expected a running server. Received: connection refused. "
        "Start one with `headrace serve MODEL`."
    )


def test_an_address_is_checked() -> None:
    with pytest.raises(HeadraceError, match=r"expected an address like http://127\.0\.0\.1:8080\. Received: ftp://x"):
        Client("ftp://x")


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "127.0.0.1:port", "http://[::1"])
def test_a_port_or_a_host_that_is_none(address: str) -> None:
    with pytest.raises(HeadraceError, match="expected an address like http://127"):
        Client(address)


def test_the_first_token_of_a_file_is_sent(tmp_path: Path) -> None:
    """A server's file may hold an old one and its successor."""
    file = tmp_path / "token"
    file.write_text("\n  0123456789abcdef \nfedcba9876543210\n")
    assert Access(file).headers == {"Authorization": "Bearer 0123456789abcdef"}
    assert Access().headers == {} and Access().token == ""
    assert Access(file).token == "0123456789abcdef"


def test_what_json_cannot_say_is_not_sent() -> None:
    with pytest.raises(HeadraceError, match=r"null where a value is missing\)\. Received: NaN or infinity"):
        predict("http://127.0.0.1:9", [{"n": float("nan")}])


@pytest.fixture
def stranger() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server that is none of ours; what it answers can be set."""
    says: dict[str, Any] = {"status": 200, "body": b"<html>"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(says["status"])
            self.end_headers()
            self.wfile.write(says["body"])

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", says
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (200, b"<html>", "/predict: expected JSON. Received: <html> (HTTP 200)"),
        (502, b"bad gateway", "/predict: expected JSON. Received: bad gateway (HTTP 502)"),
        (400, b'{"error": "body: no"}', "/predict: body: no (HTTP 400)"),
        (500, b'["oops"]', "/predict: ['oops'] (HTTP 500)"),
        (200, b'{"predictions": []}', ": expected 1 predictions. Received: {'predictions': []}"),
        (200, b'{"answers": []}', ": expected 1 predictions. Received: {'answers': []}"),
    ],
)
def test_a_strange_answer_is_an_error(
    status: int, text: bytes, message: str, stranger: tuple[str, dict[str, Any]]
) -> None:
    url, says = stranger
    says |= {"status": status, "body": text}
    with pytest.raises(HeadraceError) as refused:
        predict(url, [{"n": 1}])
    assert str(refused.value) == url + message
