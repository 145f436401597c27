"""The egress guard against real servers on loopback, with names that resolve as an attacker likes."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence

import pytest

from services.worker.egress.answer import UnansweredError
from services.worker.egress.client import Egress
from services.worker.egress.policy import RefusedError, parse_policy
from tests.fakes.web import Reply, Seen, Web, serving


class Names:
    """A resolver whose answers are told in advance, one list for each time a name is asked for."""

    def __init__(self, answers: dict[str, list[Sequence[str]]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        known = self.answers.get(host)
        if known is None:
            return [host]
        return known.pop(0) if len(known) > 1 else known[0]


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving() as server:
        server.routes["/ok"] = lambda seen: Reply(body=b"hello " + seen.headers["host"].encode())
        yield server


def guard(*allowed: str, names: Names | None = None) -> Egress:
    return Egress(parse_policy(allowed), resolve=names)


async def get(egress: Egress, url: str, *, limit: int = 1000, seconds: float = 30) -> bytes:
    return (await egress.request("GET", url, limit=limit, seconds=seconds)).body


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "①②⑦.⓪.⓪.①", "localhost.", "LOCALHOST"]
)
async def test_loopback_is_refused_and_nothing_connects(web: Web, host: str) -> None:
    with pytest.raises(RefusedError):
        await get(guard(), f"http://{host}:{web.port}/ok")
    assert web.connections == 0


async def test_a_place_that_is_excepted_is_reached_by_name(web: Web) -> None:
    names = Names({"inner.example": [["127.0.0.1"]]})
    egress = guard(f"inner.example:{web.port}", names=names)
    assert await get(egress, web.url("/ok", "inner.example")) == f"hello inner.example:{web.port}".encode()


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(web: Web) -> None:
    names = Names({"rebind.example": [["127.0.0.1"], ["10.0.0.1"]]})
    egress = guard(f"127.0.0.1:{web.port}", names=names)
    assert (await get(egress, web.url("/ok", "rebind.example"))).startswith(b"hello")
    assert names.asked == ["rebind.example"]


async def test_a_name_that_turns_to_an_inner_address_is_refused(web: Web) -> None:
    names = Names({"rebind.example": [["127.0.0.1"], ["127.0.0.2"]]})
    egress = guard(f"127.0.0.1/32:{web.port}", names=names)
    await get(egress, web.url("/ok", "rebind.example"))
    with pytest.raises(RefusedError):
        await get(egress, web.url("/ok", "rebind.example"))
    assert web.connections == 1


async def test_one_inner_address_among_public_ones_refuses_the_name(web: Web) -> None:
    names = Names({"mixed.example": [["93.184.216.34", "127.0.0.1"]]})
    with pytest.raises(RefusedError):
        await get(guard(names=names), web.url("/ok", "mixed.example"))
    assert web.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/ok",
        "//127.0.0.2:{port}/ok",
        "http://2130706433:{port}/ok",
        "http://[::1]:{port}/ok",
        "http://inner.example:{port}/ok",
        "file:///etc/passwd",
        "http://user:pass@127.0.0.1:{port}/ok",
        "gopher://127.0.0.1:{port}/ok",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_every_hop_is_checked(web: Web, status: int, location: str) -> None:
    target = location.format(port=web.port)
    web.routes["/jump"] = lambda _: Reply(status, headers={"location": target})
    web.routes["/start"] = lambda _: Reply(302, headers={"location": "/jump"})
    names = Names({"inner.example": [["10.0.0.7"]]})
    with pytest.raises(RefusedError):
        await get(guard(f"127.0.0.1:{web.port}", names=names), web.url("/start"))
    assert [seen.path for seen in web.seen] == ["/start", "/jump"]


async def test_redirects_end(web: Web) -> None:
    web.routes["/loop"] = lambda _: Reply(302, headers={"location": "/loop"})
    with pytest.raises(UnansweredError):
        await get(guard(f"127.0.0.1:{web.port}"), web.url("/loop"))
    assert len(web.seen) == 6


async def test_secrets_do_not_cross_to_another_origin(web: Web) -> None:
    names = Names({"one.example": [["127.0.0.1"]], "two.example": [["127.0.0.1"]]})
    web.routes["/start"] = lambda _: Reply(302, headers={"location": web.url("/ok", "two.example")})
    headers = [("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Plain", "y")]
    egress = guard("127.0.0.0/8", names=names)
    await egress.request("GET", web.url("/start", "one.example"), headers=headers, limit=100, seconds=30)
    assert {"authorization", "cookie", "x-plain"} <= web.seen[0].headers.keys()
    assert not {"authorization", "cookie"} & web.seen[1].headers.keys()
    assert web.seen[1].headers["x-plain"] == "y"


async def test_a_change_is_not_carried_to_another_origin(web: Web) -> None:
    names = Names({"one.example": [["127.0.0.1"]], "two.example": [["127.0.0.1"]]})
    web.routes["/start"] = lambda _: Reply(307, headers={"location": web.url("/ok", "two.example")})
    egress = guard("127.0.0.0/8", names=names)
    answer = await egress.request("POST", web.url("/start", "one.example"), body=b"x", limit=100, seconds=30)
    assert answer.status == 307
    assert len(web.seen) == 1


async def test_a_post_that_sees_other_becomes_a_get(web: Web) -> None:
    web.routes["/start"] = lambda _: Reply(303, headers={"location": "/ok"})
    egress = guard(f"127.0.0.1:{web.port}")
    await egress.request("POST", web.url("/start"), headers=[("Content-Type", "a/b")], body=b"x", limit=100, seconds=30)
    assert [(seen.method, seen.body) for seen in web.seen] == [("POST", b"x"), ("GET", b"")]
    assert "content-type" not in web.seen[1].headers


async def test_the_environment_sends_no_proxy_and_no_credentials(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert (await get(guard(f"127.0.0.1:{web.port}"), web.url("/ok"))).startswith(b"hello")
    assert "authorization" not in web.seen[0].headers


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_is_cut_at_its_limit(web: Web, packed: bool) -> None:
    whole = b"0" * 5_000_000
    reply = Reply(body=gzip.compress(whole), headers={"content-encoding": "gzip"}) if packed else Reply(body=whole)
    web.routes["/bomb"] = lambda _: reply
    answer = await guard(f"127.0.0.1:{web.port}").request("GET", web.url("/bomb"), limit=1000, seconds=30)
    assert answer.truncated
    assert answer.body == b"0" * 1000


async def test_a_whole_compressed_answer_is_read(web: Web) -> None:
    web.routes["/zip"] = lambda _: Reply(body=gzip.compress(b"hello" * 50), headers={"content-encoding": "gzip"})
    answer = await guard(f"127.0.0.1:{web.port}").request("GET", web.url("/zip"), limit=250, seconds=30)
    assert (answer.body, answer.truncated) == (b"hello" * 50, False)


async def test_no_answer_in_time_says_that_something_was_sent(web: Web) -> None:
    web.hang("/slow")
    with pytest.raises(UnansweredError) as failed:
        await get(guard(f"127.0.0.1:{web.port}"), web.url("/slow"), seconds=0.2)
    assert failed.value.sent


async def test_a_connection_that_breaks_off_says_that_something_was_sent(web: Web) -> None:
    async def cut(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

    web.raw["/cut"] = cut
    with pytest.raises(UnansweredError) as failed:
        await get(guard(f"127.0.0.1:{web.port}"), web.url("/cut"))
    assert failed.value.sent


async def test_a_refused_connection_says_that_nothing_was_sent(web: Web) -> None:
    free = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = free.sockets[0].getsockname()[1]
    free.close()
    await free.wait_closed()
    with pytest.raises(UnansweredError) as failed:
        await get(guard(f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/")
    assert not failed.value.sent


async def test_a_name_without_an_address_says_so() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError(host, port)

    with pytest.raises(UnansweredError, match="cannot be resolved") as failed:
        await get(Egress(parse_policy([]), resolve=nowhere), "http://nowhere.example/")
    assert not failed.value.sent
