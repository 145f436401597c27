"""Routing: which RPC a path and a method mean, and which they cannot mean."""

from __future__ import annotations

import pytest

from services.gateway.routes.discover import routes_of
from services.gateway.routes.template import parse
from services.gateway.routes.trie import Trie
from tests.fakes.gateway.protos import files


def trie_of(*routes: str) -> Trie[str]:
    trie: Trie[str] = Trie()
    for route in routes:
        method, text = route.split(" ")
        trie.add(parse(text), method, route)
    return trie


AGENTS = trie_of(
    "GET /v1/agents",
    "POST /v1/agents",
    "POST /v1/agents:validate",
    "GET /v1/agents/{agent_id}",
    "PATCH /v1/agents/{agent_id}",
    "POST /v1/agents/{agent_id}:restore",
    "POST /v1/agents/import",
    "GET /v1/agents/{agent_id}/versions:compare",
    "GET /v1/agents/{agent_id}/versions/{version}",
    "POST /v1/agents/{agent_id}/versions/{version}/publish",
    "GET /v1/files/{path=**}",
    "GET /v1/{name=shelves/*/books/*}:read",
    "GET /v1/{name=shelves/*}/all/**",
)


@pytest.mark.parametrize(
    ("method", "path", "route", "segments"),
    [
        ("GET", "/v1/agents", "GET /v1/agents", ("v1", "agents")),
        ("HEAD", "/v1/agents", "GET /v1/agents", ("v1", "agents")),
        ("POST", "/v1/agents:validate", "POST /v1/agents:validate", ("v1", "agents")),
        ("GET", "/v1/agents/x%2Fy%20z", "GET /v1/agents/{agent_id}", ("v1", "agents", "x/y z")),
        ("GET", "/v1/agents/%C3%A9", "GET /v1/agents/{agent_id}", ("v1", "agents", "é")),
        ("GET", "/v1/agents/a:b", "GET /v1/agents/{agent_id}", ("v1", "agents", "a:b")),
        ("POST", "/v1/agents/a:b:restore", "POST /v1/agents/{agent_id}:restore", ("v1", "agents", "a:b")),
        ("POST", "/v1/agents/a%3Arestore:restore", "POST /v1/agents/{agent_id}:restore", ("v1", "agents", "a:restore")),
        ("POST", "/v1/agents/import", "POST /v1/agents/import", ("v1", "agents", "import")),
        ("GET", "/v1/agents/import", "GET /v1/agents/{agent_id}", ("v1", "agents", "import")),
        (
            "GET",
            "/v1/agents/a/versions:compare",
            "GET /v1/agents/{agent_id}/versions:compare",
            ("v1", "agents", "a", "versions"),
        ),
        ("GET", "/v1/files", "GET /v1/files/{path=**}", ("v1", "files")),
        ("GET", "/v1/files/a/b", "GET /v1/files/{path=**}", ("v1", "files", "a", "b")),
        (
            "GET",
            "/v1/shelves/1/books/2:read",
            "GET /v1/{name=shelves/*/books/*}:read",
            ("v1", "shelves", "1", "books", "2"),
        ),
        ("GET", "/v1/shelves/1/all", "GET /v1/{name=shelves/*}/all/**", ("v1", "shelves", "1", "all")),
    ],
)
def test_finds_the_route(method: str, path: str, route: str, segments: tuple[str, ...]) -> None:
    match = AGENTS.match(path.encode(), method)
    assert (match.found, match.segments) == (route, segments)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/agents", {"GET", "POST"}),
        ("DELETE", "/v1/agents/import", {"GET", "PATCH", "POST"}),
        ("GET", "/v1/agents:validate", {"POST"}),
        ("PUT", "/v1/agents/a", {"GET", "PATCH"}),
        ("GET", "/", set()),
        ("GET", "/v1", set()),
        ("GET", "/v2/agents", set()),
        ("GET", "/v1/agents/", set()),
        ("GET", "/v1//agents", set()),
        ("GET", "/v1/agents/a/versions/", set()),
        ("GET", "/v1/agents/a/nothing", set()),
        ("GET", "/v1/AGENTS", set()),
        ("GET", "*", set()),
        ("GET", "/" + "a/" * 100, set()),
    ],
)
def test_says_what_is_allowed_instead(method: str, path: str, allowed: set[str]) -> None:
    match = AGENTS.match(path.encode(), method)
    assert match.found is None
    assert match.allowed == allowed


def test_a_path_that_is_not_utf8_is_an_error_of_its_own() -> None:
    with pytest.raises(UnicodeDecodeError):
        AGENTS.match(b"/v1/agents/%FF", "GET")


def test_variables_know_their_segments() -> None:
    template = parse("/v1/{name=shelves/*/books/**}:check")
    assert template.segments == ("v1", "shelves", "*", "books", "**")
    assert template.verb == "check"
    assert [(v.field, v.start, v.end) for v in template.variables] == [("name", 1, None)]
    assert [(v.field, v.start, v.end) for v in parse("/v1/a/{b.c}/{d}").variables] == [("b.c", 2, 3), ("d", 3, 4)]


@pytest.mark.parametrize("text", ["v1", "/v1/{", "/v1/{a=}", "/v1/**/b", "/v1/{a=**}/b", "/v1/}"])
def test_refuses_malformed_templates(text: str) -> None:
    with pytest.raises(ValueError, match=r"template"):
        parse(text)


def test_refuses_a_route_that_is_declared_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        trie_of("GET /v1/a/{b}", "GET /v1/a/{c}")


def test_discovers_every_binding_of_every_annotated_rpc() -> None:
    routes = routes_of("echo", files())
    assert {(route.rpc.name, route.http_method, route.template.text) for route in routes} == {
        ("CreateNote", "POST", "/v1/shelves/{shelf_id}/notes"),
        ("CreateNote", "POST", "/v1/notes"),
        ("GetNote", "GET", "/v1/notes/{note_id}"),
        ("ListNotes", "GET", "/v1/notes"),
        ("ListNotes", "GET", "/v1/latest"),
        ("UpdateNote", "PATCH", "/v1/notes/{note.id}"),
        ("DeleteNote", "DELETE", "/v1/notes/{note_id}"),
        ("CheckNote", "POST", "/v1/notes:check"),
        ("CheckNote", "POST", "/v1/{path=shelves/*/books/**}:check"),
        ("WatchNote", "GET", "/v1/notes/{note_id}/events"),
    }
    watch = next(route for route in routes if route.rpc.name == "WatchNote")
    assert (watch.path, watch.only_reads, watch.anonymous) == ("/gatewaytest.v1.EchoService/WatchNote", True, False)
    assert watch.answer.name == "NoteEvent"
