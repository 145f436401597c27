"""Binding: path, query, header and body become one request, and a response becomes JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.protobuf.descriptor_pool import Default
from google.protobuf.json_format import MessageToDict

from retinue_core.errors import Problem, RetinueError, invalid
from services.gateway.routes.binding import Binding
from services.gateway.routes.discover import routes_of
from services.gateway.routes.trie import Trie
from services.gateway.transcode.json_in import Parser
from services.gateway.transcode.json_out import Printer
from tests.fakes.gateway.protos import files, message_class


def bindings() -> Trie[Binding]:
    trie: Trie[Binding] = Trie()
    parser, printer = Parser(Default()), Printer(Default())
    for route in routes_of("echo", files()):
        trie.add(route.template, route.http_method, Binding(route, parser, printer))
    return trie


TRIE = bindings()


def bind(request: str, body: object = None, last_event_id: str | None = None) -> dict[str, Any]:
    method, _, target = request.partition(" ")
    path, _, query = target.partition("?")
    match = TRIE.match(path.encode(), method)
    assert match.found is not None
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    return MessageToDict(match.found.request(match.segments, query.encode(), raw, last_event_id))


def problems(request: str, body: object = None, last_event_id: str | None = None) -> list[tuple[str, str]]:
    with pytest.raises(RetinueError) as caught:
        bind(request, body, last_event_id)
    return [(problem.field, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("request_line", "body", "expected"),
    [
        ("GET /v1/notes/7", None, {"noteId": "7"}),
        ("GET /v1/notes/7?withText=true&wait=1.5s", None, {"noteId": "7", "withText": True, "wait": "1.500s"}),
        ("GET /v1/notes/7?with_text=false", None, {"noteId": "7", "withText": False}),
        ("POST /v1/shelves/s%201/notes", {"text": "t"}, {"shelfId": "s 1", "note": {"text": "t"}}),
        ("POST /v1/shelves/s/notes", {}, {"shelfId": "s", "note": {}}),
        ("POST /v1/shelves/s/notes", None, {"shelfId": "s"}),
        ("POST /v1/notes", {"shelf_id": "s", "note": {"mark": "STAR"}}, {"shelfId": "s", "note": {"mark": "STAR"}}),
        ("POST /v1/notes", None, {}),
        (
            "GET /v1/notes?pageSize=5&page_token=a%2Bb&marks=STAR&marks=2&minScore=0.5&showDeleted=true",
            None,
            {"pageSize": 5, "pageToken": "a+b", "marks": ["STAR", "FLAG"], "minScore": 0.5, "showDeleted": True},
        ),
        (
            "GET /v1/notes?like.place.floorNumber=3&like.place.city=x&like.tags=a&like.tags=b",
            None,
            {"like": {"place": {"floorNumber": 3, "city": "x"}, "tags": ["a", "b"]}},
        ),
        (
            "GET /v1/notes?after=2026-01-31T12:00:00Z&fields=text,sizeBytes",
            None,
            {"after": "2026-01-31T12:00:00Z", "fields": "text,sizeBytes"},
        ),
        ("POST /v1/shelves/1/books/2/3:check", {}, {"path": "shelves/1/books/2/3", "note": {}}),
        ("GET /v1/notes/n/events?after=3", None, {"noteId": "n", "after": 3}),
    ],
)
def test_binds(request_line: str, body: object, expected: dict[str, Any]) -> None:
    assert bind(request_line, body) == expected


@pytest.mark.parametrize(
    ("body", "mask"),
    [
        ({"text": "t"}, "text"),
        ({"text": None, "mark": "FLAG"}, "text,mark"),
        ({"size_bytes": 1, "place": {"floor_number": 2}}, "sizeBytes,place.floorNumber"),
        ({"place": {}, "metadata": {"a": 1}, "tags": []}, "place,metadata,tags"),
        ({"id": "n", "createdAt": "2026-01-31T12:00:00Z", "text": "t"}, "text"),
        ({}, ""),
    ],
)
def test_a_patch_changes_the_fields_that_are_present(body: dict[str, Any], mask: str) -> None:
    assert bind("PATCH /v1/notes/n", body)["updateMask"] == mask


def test_a_patch_may_name_its_fields_itself() -> None:
    bound = bind("PATCH /v1/notes/n?updateMask=text,place.city", {"text": "t"})
    assert bound["updateMask"] == "text,place.city"


@pytest.mark.parametrize(
    ("request_line", "body", "field", "reason"),
    [
        ("GET /v1/notes/x", None, "noteId", "whole number"),
        ("GET /v1/notes/7?wait=5", None, "wait", '"30s"'),
        ("GET /v1/notes/7?noteId=8", None, "noteId", "the path or the body gives it"),
        ("GET /v1/notes/7?withTxt=true", None, "withTxt", "did you mean withText?"),
        ("GET /v1/notes?pageSize=", None, "pageSize", "whole number"),
        ("GET /v1/notes?pageSize=1&page_size=2", None, "page_size", "given twice"),
        ("GET /v1/notes?marks=NONE", None, "marks", "must be one of"),
        ("GET /v1/notes?showDeleted=yes", None, "showDeleted", "true or false"),
        ("GET /v1/notes?like=x", None, "like", "such as like.id"),
        ("GET /v1/notes?like.metadata.a=x", None, "like.metadata.a", "not a parameter"),
        ("GET /v1/notes?like.metadata=x", None, "like.metadata", "cannot be sent as a parameter"),
        ("GET /v1/notes?labels=x", None, "labels", "cannot be sent as a parameter"),
        ("GET /v1/notes?pageToken=%00", None, "pageToken", "null byte"),
        ("GET /v1/notes?pageToken=%FF", None, "query", "percent-encoded UTF-8"),
        ("GET /v1/notes?" + "marks=STAR&" * 501, None, "query", "more than 500"),
        ("GET /v1/notes/%00", None, "noteId", "null byte"),
        ("POST /v1/shelves/s/notes?note.text=x", {}, "note.text", "the path or the body gives it"),
        ("POST /v1/shelves/s/notes", [], "body", "must be an object, not a list"),
        ("POST /v1/shelves/s/notes", {"txt": "t"}, "txt", "did you mean text?"),
        ("POST /v1/shelves/s/notes", {"place": {"floorNumber": "x"}}, "place.floorNumber", "whole number"),
        ("POST /v1/notes?shelfId=s", {}, "query", "send them in the body"),
        ("PATCH /v1/notes/n", {"id": "m"}, "note.id", "another one in the body"),
        ("PATCH /v1/notes/n?updateMask=txt", {"text": "t"}, "updateMask", "txt is not a field of Note"),
    ],
)
def test_refuses(request_line: str, body: object, field: str, reason: str) -> None:
    found = problems(request_line, body)
    assert found[0][0] == field
    assert reason in found[0][1]


def test_reports_path_query_and_body_together() -> None:
    found = problems("GET /v1/notes/x?nope=1&wait=y")
    assert [field for field, _ in found] == ["noteId", "nope", "wait"]


def test_refuses_a_body_where_there_is_none() -> None:
    with pytest.raises(RetinueError, match="takes no body"):
        bind("GET /v1/notes/7", {"a": 1})


def test_a_reconnect_goes_on_after_the_last_event() -> None:
    assert bind("GET /v1/notes/n/events?after=3", last_event_id="9")["after"] == 9
    assert problems("GET /v1/notes/n/events", last_event_id="x")[0][0] == "Last-Event-ID"


def test_answers_with_the_field_that_the_rule_names() -> None:
    note = message_class("Note")(id="1", text="t")
    match = TRIE.match(b"/v1/notes/1", "GET")
    assert match.found is not None
    written = match.found.print(message_class("GetNoteResponse")(note=note))
    assert (written["id"], written["text"], written["sizeBytes"]) == ("1", "t", "0")


def test_paths_of_a_services_problems_are_as_the_client_sent_them() -> None:
    match = TRIE.match(b"/v1/shelves/s/notes", "POST")
    assert match.found is not None
    error = match.found.shown(invalid("Wrong.", Problem("note.tags[1]", "x"), Problem("shelfId", "y")))
    assert [problem.field for problem in error.problems] == ["tags[1]", "shelfId"]
