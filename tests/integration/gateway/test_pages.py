"""The gateway's own pages, and the gateway as a process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

import httpx
import pytest

from retinue_core.ports import free_ports
from tests.integration.gateway.conftest import Running


async def test_the_description_is_served(gateway: Running) -> None:
    answer = await gateway.client.get("/openapi.json")
    assert answer.json()["openapi"] == "3.1.0"
    assert answer.json()["paths"]["/v1/notes/{noteId}"]["get"]["description"].startswith("Reads a note.")


async def test_the_reader_needs_nothing_from_elsewhere(gateway: Running) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        page = await client.get("/docs")
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert linked == ["/docs/reader.css", "/docs/reader.js", "/openapi.json"]
        answers = [await client.get(path) for path in linked]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]
    for text in (page.text, answers[0].text, answers[1].text):
        assert not re.search(r"https?://", text)
        assert "style=" not in text
        assert "innerHTML" not in text


@pytest.mark.parametrize("metrics", [False, True], ids=["one-port", "own-metrics-port"])
async def test_as_a_process_it_serves_drains_and_ends(gateway: Running, metrics: bool) -> None:
    rest, figures = free_ports(2)
    environment = {
        **os.environ,
        **{f"RETINUE_{room}_ADDR": gateway.address for room in ("ACCESS", "AGENT", "VERSION", "EXECUTION", "QUOTA")},
        "RETINUE_HTTP_PORT": str(rest),
        **({"RETINUE_METRICS_PORT": str(figures)} if metrics else {}),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as client:
        while b"serving REST on" not in (line := await process.stderr.readline()):
            assert line
        url = f"http://127.0.0.1:{rest}"
        assert (await client.get(f"{url}/readyz")).json()["services"]["execution"] == "SERVING"
        assert (await client.get(f"{url}/v1/agents")).status_code == 401
        assert (await client.get(f"{url}/metrics")).status_code == (404 if metrics else 200)
        if metrics:
            assert "retinue_gateway" in (await client.get(f"http://127.0.0.1:{figures}/metrics")).text
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_a_port_that_is_taken_is_one_clear_line(gateway: Running) -> None:
    taken = gateway.url.rpartition(":")[2]
    environment = {
        **os.environ,
        **{f"RETINUE_{room}_ADDR": gateway.address for room in ("ACCESS", "AGENT", "VERSION", "EXECUTION", "QUOTA")},
        "RETINUE_HTTP_PORT": taken,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().splitlines() == [
        f"error: cannot listen on 127.0.0.1:{taken}: Address already in use; choose another port"
    ]


async def test_readiness_follows_the_services_health(gateway: Running) -> None:
    assert (await gateway.client.get("/readyz")).json() == {"status": "ready", "services": {"echo": "SERVING"}}
    gateway.readiness.draining = True
    answer = await gateway.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "draining")
