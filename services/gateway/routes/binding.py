"""One route at work: an HTTP request to the request message, the response message to JSON.

Owns how path, query, header and body come together in one message, and the update mask that a
PATCH implies. All that is wrong with a request is reported at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from retinue.common.v1 import options_pb2
from retinue_core.errors import Problem, RetinueError, invalid
from services.gateway.routes.discover import Route, field_with_role, leaf
from services.gateway.routes.template import Variable
from services.gateway.transcode import body as door
from services.gateway.transcode import masks
from services.gateway.transcode.json_in import Parser
from services.gateway.transcode.json_out import Print, Printer
from services.gateway.transcode.problems import Problems, TooManyError, kind_of
from services.gateway.transcode.query import Leaf, Query

_ROOT = "body"
_MASK = "update_mask"
_ACTIONS = ("Correct the fields that are named; /docs describes what this route takes.",)


class Binding:
    """A compiled route."""

    def __init__(self, route: Route, parser: Parser, printer: Printer) -> None:
        self.route = route
        request = route.rpc.input_type
        self._class = GetMessageClass(request)
        self._variables = [_Variable(variable, request, parser) for variable in route.template.variables]
        self._fill_body = _body_filler(route, parser)
        self._query = None if route.body == "*" else Query(request, parser, _taken(route))
        self._mask = _Mask(route) if route.http_method == "PATCH" and _MASK in request.fields_by_name else None
        resume = field_with_role(request, options_pb2.EVENT_STREAM_ROLE_LAST_EVENT_ID)
        self._resume = Leaf((), resume, parser) if resume is not None else None
        self.print: Print = _response_printer(route, printer)
        self.serialize: Callable[[Any], bytes] = self._class.SerializeToString
        self.parse: Callable[[bytes], Any] = GetMessageClass(route.rpc.output_type).FromString

    def request(self, segments: tuple[str, ...], query: bytes, body: bytes, last_event_id: str | None) -> Message:
        """Builds the request message; raises RetinueError with every problem there is."""
        message, problems = self._class(), Problems()
        sent = self._read_body(body)
        with suppress(TooManyError):
            if sent is not None and self._fill_body is not None:
                self._fill_body(sent, message, problems)
            for variable in self._variables:
                variable.put(segments, message, problems)
            self._read_query(query, message, problems)
            if self._resume is not None and last_event_id:
                self._resume.put(last_event_id, message, "Last-Event-ID", problems)
            if self._mask is not None and not problems:
                self._mask.apply(sent, message, problems)
        if problems:
            raise invalid(_summary(problems), *problems.found, actions=_ACTIONS)
        return message

    def _read_body(self, body: bytes) -> Any:
        if self._fill_body is None:
            if body.strip():
                raise invalid("This route takes no body; send none.", code="BODY_NOT_ALLOWED")
            return None
        if not body:
            return {} if self.route.body == "*" else None
        return door.parse(body)

    def _read_query(self, query: bytes, message: Message, problems: Problems) -> None:
        if not query:
            return
        if self._query is None:
            problems.add("query", "this route takes no parameters; send them in the body")
        else:
            self._query.read(query, message, problems)

    def shown(self, error: RetinueError) -> RetinueError:
        """A service's error with its field paths as the client sent them: relative to the body."""
        if self.route.body in ("", "*") or not error.problems:
            return error
        prefix = f"{leaf(self.route.rpc.input_type, self.route.body).json_name}."
        error.problems = tuple(
            Problem(problem.field.removeprefix(prefix), problem.message) for problem in error.problems
        )
        return error


class _Variable:
    """A path variable: from its segments to its field, without contradicting the body."""

    __slots__ = ("_default", "_end", "_leaf", "_name", "_start")

    def __init__(self, variable: Variable, request: Descriptor, parser: Parser) -> None:
        names = variable.field.split(".")
        field = leaf(request, variable.field)
        self._leaf = Leaf(tuple(names[:-1]), field, parser)
        self._name = masks.camel(variable.field)
        self._start, self._end = variable.start, variable.end
        self._default = field.default_value

    def put(self, segments: tuple[str, ...], message: Any, problems: Problems) -> None:
        taken = segments[self._start : self._end]
        before = self._leaf.get(message)
        self._leaf.put(taken[0] if len(taken) == 1 else "/".join(taken), message, self._name, problems)
        if before != self._default and before != self._leaf.get(message):
            problems.add(self._name, "is another one in the body than in the path; leave it out of the body")


class _Mask:
    """The update mask: the fields present in the body, unless the caller names them."""

    def __init__(self, route: Route) -> None:
        request = route.rpc.input_type
        whole = route.body == "*"
        self._target = request if whole else leaf(request, route.body).message_type
        given = {variable.field.removeprefix(f"{route.body}.") for variable in route.template.variables}
        self._left_out = given | {_MASK} | _output_only(self._target)

    def apply(self, sent: Any, message: Any, problems: Problems) -> None:
        mask = message.update_mask
        if self._target is None:
            return
        if not message.HasField(_MASK):
            present = masks.present_paths(self._target, sent or {})
            mask.paths.extend(path for path in present if path not in self._left_out)
            return
        for path in masks.unknown_paths(self._target, list(mask.paths)):
            problems.add("updateMask", f"{masks.camel(path)} is not a field of {self._target.name}")


def _output_only(message: Descriptor | None) -> set[str]:
    if message is None:
        return set()
    behavior = field_behavior_pb2.field_behavior
    only = field_behavior_pb2.OUTPUT_ONLY
    return {field.name for field in message.fields if only in field.GetOptions().Extensions[behavior]}


def _body_filler(route: Route, parser: Parser) -> Callable[[Any, Any, Problems], None] | None:
    if not route.body:
        return None
    if route.body == "*":
        whole = parser.parser(route.rpc.input_type)
        return lambda value, message, problems: _object(value, message, whole, problems)
    field = leaf(route.rpc.input_type, route.body)
    kind: Descriptor | None = field.message_type
    if kind is None or field.is_repeated or kind.file.package == "google.protobuf":
        fill_field, key = parser.field(field), field.json_name
        return lambda value, message, problems: fill_field(value, message, "", key, problems)
    inner = parser.parser(kind)

    def fill(value: Any, message: Any, problems: Problems) -> None:
        target = getattr(message, field.name)
        _object(value, target, inner, problems)
        target.SetInParent()

    return fill


def _object(value: Any, message: Any, fill: Callable[..., None], problems: Problems) -> None:
    if type(value) is dict:
        fill(value, message, "", problems)
    else:
        problems.add(_ROOT, f"must be an object, not {kind_of(value)}")


def _taken(route: Route) -> frozenset[str]:
    fields = [variable.field for variable in route.template.variables]
    return frozenset([*fields, route.body] if route.body else fields)


def _response_printer(route: Route, printer: Printer) -> Print:
    if not route.response_body:
        return printer.printer(route.rpc.output_type)
    field: FieldDescriptor = leaf(route.rpc.output_type, route.response_body)
    if field.message_type is None or field.is_repeated:
        return printer.field_printer(field)
    inner = printer.printer(field.message_type)
    return lambda message: inner(getattr(message, field.name))


def _summary(problems: Problems) -> str:
    first = problems.found[0]
    more = len(problems.found) - 1
    return f"{first.field}: {first.message}" + (f" (and {more} more)" if more else "")
