"""Whatever a client sends to any route of the suite, it is a message or a refusal, never a failure."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from retinue_core.errors import RetinueError
from services.gateway.config import ROOMS
from services.gateway.endpoints import all_routes, load_files
from services.gateway.routes.binding import Binding
from services.gateway.transcode.json_in import Parser
from services.gateway.transcode.json_out import Printer

PARSER, PRINTER = Parser(Default()), Printer(Default())
ROUTES = all_routes(load_files(ROOMS))
BINDINGS = [Binding(route, PARSER, PRINTER) for route in ROUTES]
NAMES = sorted(
    {field.json_name for route in ROUTES for field in route.rpc.input_type.fields} | {"name", "model", "tools"}
)
TEXT = st.text(max_size=10) | st.sampled_from(["", "30s", "2026-01-31T12:00:00Z", "a.b", "\x00", "1e9", "PRIVATE"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | TEXT, inner, max_size=4),
    max_leaves=12,
)
QUERY = st.lists(st.tuples(st.sampled_from(NAMES) | TEXT, TEXT), max_size=3).map(
    lambda pairs: "&".join(f"{key}={value}" for key, value in pairs).encode("utf-8", "replace")
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(BINDINGS), JSON, QUERY, TEXT, st.none() | TEXT)
def test_is_a_message_or_a_refusal(
    binding: Binding, body: Any, query: bytes, segment: str, last_event_id: str | None
) -> None:
    segments = tuple(segment for _ in binding.route.template.segments)
    sent = orjson.dumps(body) if binding.route.body else b""
    try:
        message = binding.request(segments, query, sent, last_event_id)
    except RetinueError as error:
        event(error.code)
    else:
        event("taken")
        assert GetMessageClass(binding.route.rpc.input_type).FromString(message.SerializeToString()) == message


def nest(levels: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize(("kind", "levels"), [(dict, 29), (list, 43)])
def test_the_deepest_body_that_is_taken_survives_the_way_to_a_service(kind: type, levels: int) -> None:
    binding = next(one for one in BINDINGS if one.route.rpc.name == "CreateExecution")
    segments = ("v1", "agents", "a", "executions")
    message: Any = binding.request(segments, b"", orjson.dumps({"input": nest(levels, kind)}), None)
    with pytest.raises(RetinueError, match="too deeply"):
        binding.request(segments, b"", orjson.dumps({"input": nest(levels + 1, kind)}), None)
    wrapped: Any = GetMessageClass(Default().FindMessageTypeByName("retinue.execution.v1.ListExecutionsResponse"))()
    wrapped.executions.add().input.CopyFrom(message.input)
    assert type(wrapped).FromString(wrapped.SerializeToString()) == wrapped
