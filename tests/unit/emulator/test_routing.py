"""Which request goes to which handler."""

import re

import pytest

from headrace.emulator.refusals import CODES, Refusal, google_body, kfp_body
from headrace.emulator.routing import Call, Route, Router
from headrace.emulator.server import routes


def handler(emulator, call):
    return {}


async def quick(emulator, call):
    return {}


TEMPLATES = [
    ("GET", "/v1/projects/{project}/things/{thing}"),
    ("POST", "/v1/projects/{project}/things/{thing}:cancel"),
    ("GET", "/v1/projects/{project}/things"),
    ("POST", "/v1/projects/{project}/things:upload"),
    ("GET", "/b/{bucket}/o/{name*}"),
    ("GET", "/ui/{name*}"),
    ("GET", "/apis/v2beta1/runs/{run}"),
]
ROUTER = Router(Route(method, template, handler, template) for method, template in TEMPLATES)


@pytest.mark.parametrize(
    ("method", "path", "template", "params"),
    [
        ("GET", "/v1/projects/p/things/t", 0, {"project": "p", "thing": "t"}),
        ("HEAD", "/v1/projects/p/things/t", 0, {"project": "p", "thing": "t"}),
        ("GET", "/v1beta1/projects/p/things/t@1", 0, {"project": "p", "thing": "t@1"}),
        ("GET", "/v1/projects/google.com:p/things/t", 0, {"project": "google.com:p", "thing": "t"}),
        ("GET", "/v1/projects/p/things/a%2Fb%3Ac%C3%A4", 0, {"project": "p", "thing": "a/b:cä"}),
        ("POST", "/v1/projects/p/things/t:cancel", 1, {"project": "p", "thing": "t"}),
        ("GET", "/v1/projects/p/things", 2, {"project": "p"}),
        ("POST", "/v1/projects/p/things:upload", 3, {"project": "p"}),
        ("GET", "/b/x/o/a%2F..%2Fb//c:d", 4, {"bucket": "x", "name": "a/../b//c:d"}),
        ("GET", "/ui/projects/p/operations/1", 5, {"name": "projects/p/operations/1"}),
        ("GET", "/apis/v2beta1/runs/r", 6, {"run": "r"}),
    ],
)
def test_routes(method, path, template, params):
    for _ in range(2):  # the second time from memory
        route, found = ROUTER.find(method, path)
        assert (route.template, found) == (TEMPLATES[template][1], params)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/projects/p/things/t"),
        ("GET", "/v1/projects/p/things/t:cancel"),
        ("POST", "/v1/projects/p/things/t:other"),
        ("GET", "/v1/projects/p/things/"),
        ("GET", "/v1/projects//things"),
        ("GET", "/v1/projects/p/things/t/more"),
        ("GET", "/apis/v1beta1/runs/r"),
        ("BREW", "/v1/projects/p/things/t"),
        ("GET", "/b/x/o/"),
        ("GET", ""),
    ],
)
def test_what_is_not_served(method, path):
    with pytest.raises(Refusal, match="the emulator does not serve this call") as refused:
        ROUTER.find(method, path)
    assert refused.value.code == "UNIMPLEMENTED" and refused.value.status == 501


def test_a_refusal_names_the_methods_that_there_are():
    with pytest.raises(Refusal, match="this address has GET"):
        ROUTER.find("DELETE", "/v1/projects/p/things/t")
    with pytest.raises(Refusal, match="UTF-8"):
        ROUTER.find("GET", "/v1/projects/p/things/%ff")


def test_memory_is_bounded():
    router = Router([Route("GET", "/{a}", handler, "")])
    for number in range(10_000):
        assert router.find("GET", f"/{number}")[1] == {"a": str(number)}
    router.find("GET", "/" + "x" * 10_000)
    assert len(router._known) <= 4096 and max(len(path) for _, path in router._known) <= 500


def test_coroutine_functions_are_direct():
    assert Route("GET", "/", quick, "").direct and not Route("GET", "/", handler, "").direct


def call(body=b"", query=None):
    return Call("POST", "/v1beta1/x", {}, query or {}, {}, body)


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"a": ' * 100_000, b"1" * 10_000])
def test_bodies_that_are_no_object(body):
    with pytest.raises(Refusal, match="Invalid JSON payload") as refused:
        call(body).json  # noqa: B018
    assert refused.value.status == 400


def test_what_a_call_knows():
    assert call().json == {} and call(b' {"a": 1}').json == {"a": 1} and call().version == "v1beta1"
    asked = call(query={"page_size": ["1", "2"], "pageToken": ["t"]})
    assert (asked.one("pageSize"), asked.one("pageToken"), asked.one("filter", "x")) == ("2", "t", "x")


def test_refusals_have_both_forms():
    refusal = Refusal("NOT_FOUND", "gone")
    assert google_body(refusal) == {"error": {"code": 404, "message": "gone", "status": "NOT_FOUND"}}
    assert kfp_body(refusal) == {"error": "gone", "code": 5, "message": "gone", "details": []}
    assert Refusal("INVALID_ARGUMENT", "", 413).status == 413 and len({number for number, _ in CODES.values()}) == 15


def test_no_two_routes_are_the_same():
    """The first one would answer, and the other never."""
    seen = {}
    for route in routes():
        key = route.method, re.sub(r"\{\w+", "{", route.template)
        if key in seen and route.why_not:  # some of a call's uses, which the first one refuses by what the body says
            continue
        assert key not in seen, f"{route} is answered by {seen[key]}"
        seen[key] = route
