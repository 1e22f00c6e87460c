"""Pages of metrics that are not what they should be are told and left out, and never half believed."""

import pytest

from headrace.pipelines.rollout import reading
from headrace.pipelines.rollout.reading import read
from tests.raw_server import raw_server

PAGE = b'headrace_process_start_time_seconds 1.0\nheadrace_requests_total{version="4",status="200"} 20\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def looked(answer: bytes) -> str:
    """Why the page was left out; empty where it was not."""
    with raw_server(answer) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        pages = read([url], {})
    assert set(pages.readings) | set(pages.failed) == {url} and not set(pages.readings) & set(pages.failed)
    return pages.failed.get(url, "").removeprefix(f"{url}: ")


def test_a_whole_page_is_read():
    assert looked(HEAD + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE) == ""
    assert looked(HEAD + b"Connection: close\r\n\r\n" + PAGE) == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (HEAD + b"Content-Length: 150\r\n\r\n" + PAGE, f"metrics: expected a whole page. Received: its first {len(PAGE)} bytes"),
        (HEAD + b"Connection: close\r\n\r\n" + PAGE[:-3], "metrics: expected a whole page. Received: its first"),
        (CHUNKED + b"%x\r\n" % len(PAGE) + PAGE[:20], "IncompleteRead"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "SSH-2.0-OpenSSH_9.6"),
        (b"", "Remote end closed connection without response"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "metrics: expected a page. Received: status 503"),
    ],
)  # fmt: skip
def test_what_is_no_whole_page_is_told_and_left_out(answer, why):
    assert why in looked(answer)


def test_a_page_that_is_too_large(monkeypatch):
    monkeypatch.setattr(reading, "_LARGEST", 40)
    assert looked(HEAD + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE) == (
        "metrics: expected a page of at most 40 bytes. Received: a larger one"
    )
