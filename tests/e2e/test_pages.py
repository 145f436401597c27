"""What the gateway answers without a token: alive, ready, described, read; and that gRPC takes the same tokens."""

from __future__ import annotations

from typing import Any

import grpc
import openapi_spec_validator
import pytest
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from retinue.access.v1 import access_service_pb2, access_service_pb2_grpc
from retinue.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from retinue.execution.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc
from retinue_core.testing.suite import Suite
from tests.clients.agents import adder
from tests.clients.people import People
from tests.clients.rest import Rest

ROOMS = ("access", "agent", "version", "quota", "execution")


async def test_alive_and_ready_need_no_token(suite: Suite) -> None:
    async with Rest(suite.url) as nobody:
        assert await nobody.get("/healthz") == {"status": "alive"}
        assert await nobody.get("/readyz") == {"status": "ready", "services": dict.fromkeys(ROOMS, "SERVING")}


async def test_the_description_is_openapi_and_names_every_route_that_the_tests_use(suite: Suite) -> None:
    async with Rest(suite.url) as nobody:
        document = await nobody.get("/openapi.json")
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1")
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert routes >= {
        ("POST", "/v1/agents"),
        ("PATCH", "/v1/agents/{agentId}"),
        ("POST", "/v1/agents:validate"),
        ("POST", "/v1/agents/{agentId}/versions/{version}/publish"),
        ("POST", "/v1/agents/{agentId}/executions"),
        ("POST", "/v1/agents/{agentId}/execute"),
        ("GET", "/v1/executions/{executionId}/events"),
        ("POST", "/v1/executions/{executionId}/cancel"),
        ("PUT", "/v1/quotas"),
        ("GET", "/v1/usage"),
    }


async def test_the_reader_is_served_with_all_it_needs(suite: Suite) -> None:
    async with Rest(suite.url) as nobody:
        page = await nobody.http.get("/docs")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "http" not in page.headers["content-security-policy"]
        for part in ("reader.js", "reader.css"):
            assert f"/docs/{part}" in page.text
            assert (await nobody.http.get(f"/docs/{part}")).status_code == 200


@pytest.mark.parametrize("room", ROOMS)
async def test_every_service_answers_health_and_reflection(suite: Suite, room: str) -> None:
    channel: Any = grpc.aio.insecure_channel(suite.address(room))
    async with channel:
        stubs: tuple[Any, Any] = health_pb2_grpc.HealthStub(channel), reflection_pb2_grpc.ServerReflectionStub(channel)
        health = await stubs[0].Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        answers = [answer async for answer in stubs[1].ServerReflectionInfo(iter(asked))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert f"retinue.{room}.v1.{room.capitalize()}Service" in names


async def test_the_same_token_works_over_grpc(suite: Suite, people: People) -> None:
    acme = await people.founder()
    agent = await acme.publish(adder())
    metadata = (("authorization", f"Bearer {acme.token}"),)
    async with grpc.aio.insecure_channel(suite.address("agent")) as channel:
        agents = agent_service_pb2_grpc.AgentServiceStub(channel)
        found = await agents.GetAgent(agent_service_pb2.GetAgentRequest(agent_id=agent), metadata=metadata)
        assert (found.agent.id, found.agent.current_version) == (agent, "1.0.0")
    async with grpc.aio.insecure_channel(suite.address("execution")) as channel:
        executions = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        request = execution_service_pb2.ExecuteRequest(agent_id=agent)
        request.input.struct_value.update({"a": 1, "b": 1})
        events = [answer.event async for answer in executions.Execute(request, metadata=metadata)]
    assert [event.sequence for event in events if event.sequence] == list(range(1, 8))
    assert events[-1].done.execution.status == execution_pb2.Execution.COMPLETED
    assert (await acme.execution(events[-1].execution_id))["output"] == "The sum is 2."


@pytest.mark.parametrize("token", ["", "Bearer rtn_nobody", "rtn_nobody", "Bearer"])
async def test_over_grpc_nobody_is_let_in_without_a_token(suite: Suite, token: str) -> None:
    async with grpc.aio.insecure_channel(suite.address("access")) as channel:
        access = access_service_pb2_grpc.AccessServiceStub(channel)
        metadata = (("authorization", token),) if token else ()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await access.GetCaller(access_service_pb2.GetCallerRequest(), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    details = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details if isinstance(details, bytes) else details.encode())
    assert [detail.type_url.rpartition(".")[2] for detail in status.details] == ["ErrorInfo", "ErrorDetails"]
