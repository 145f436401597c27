"""The cache of exchanged tokens: fresh for a second, one question at a time, and no longer than access allows."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar

import pytest

from retinue_core import errors
from retinue_core.errors import Kind, RetinueError
from retinue_core.rpc import tokens as module
from retinue_core.rpc.tokens import TokenCache

TOKEN = "rtn_secret"
LIFE = 300.0
call: ContextVar[str] = ContextVar("call", default="")


class Access:
    """What access would answer, and the clock that both look at."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.asked: list[str] = []
        self.failure: RetinueError | None = None
        self.gate: asyncio.Event | None = None
        self.contexts: list[str] = []

    async def exchange(self, token: str) -> tuple[str, float]:
        self.asked.append(token)
        self.contexts.append(call.get())
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return f"identity {len(self.asked)}", self.seconds + LIFE

    def cache(self) -> TokenCache:
        return TokenCache(self.exchange, now=lambda: self.seconds, monotonic=lambda: self.seconds - 900)


@pytest.fixture
def access() -> Access:
    return Access()


async def kind_of_refusal(cache: TokenCache, token: str = TOKEN) -> Kind:
    with pytest.raises(RetinueError) as refused:
        await cache.identity(token)
    return refused.value.kind


async def test_a_token_is_asked_for_once_a_second(access: Access) -> None:
    cache = access.cache()
    assert [await cache.identity(TOKEN) for _ in range(3)] == ["identity 1"] * 3
    access.seconds += 0.999
    assert await cache.identity(TOKEN) == "identity 1"
    access.seconds += 0.001
    assert await cache.identity(TOKEN) == "identity 2"


@pytest.mark.parametrize("token", ["", "x", "Rtn_a", "rtn", "rtn_" + "a" * 197])
async def test_what_is_no_token_is_never_asked_for(access: Access, token: str) -> None:
    assert await kind_of_refusal(access.cache(), token) is Kind.UNAUTHENTICATED
    assert access.asked == []


async def test_many_callers_share_one_question(access: Access) -> None:
    access.gate = asyncio.Event()
    cache = access.cache()
    callers = [asyncio.create_task(cache.identity(TOKEN)) for _ in range(5)]
    other = asyncio.create_task(cache.identity("rtn_other"))
    await asyncio.sleep(0)
    access.gate.set()
    assert set(await asyncio.gather(*callers)) == {"identity 1"}
    assert await other == "identity 2"
    assert access.asked == [TOKEN, "rtn_other"]


async def test_the_first_caller_may_go_away(access: Access) -> None:
    access.gate = asyncio.Event()
    cache = access.cache()
    first, second = (asyncio.create_task(cache.identity(TOKEN)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    access.gate.set()
    assert await second == "identity 1"
    assert len(access.asked) == 1


async def test_a_failure_that_everybody_left_is_no_noise(access: Access) -> None:
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    access.gate, access.failure = asyncio.Event(), errors.unavailable("down")
    cache = access.cache()
    caller = asyncio.create_task(cache.identity(TOKEN))
    await asyncio.sleep(0)
    (asking,) = cache._asking.values()
    caller.cancel()
    access.gate.set()
    await asyncio.wait({caller, asking})
    del asking
    gc.collect()
    assert noise == []
    assert cache._asking == {}


async def test_a_question_is_not_asked_in_the_call_of_who_happens_to_be_first(access: Access) -> None:
    call.set("a call with a deadline")
    await access.cache().identity(TOKEN)
    assert access.contexts == [""]


AWAY = [
    errors.unavailable("down"),
    errors.deadline("slow"),
    errors.internal(),
    errors.exhausted("OVERLOADED", "busy"),
    RetinueError(Kind.CANCELLED, "CANCELLED", "gone"),
    RetinueError(Kind.UNKNOWN, "UNKNOWN", "what"),
]


@pytest.mark.parametrize("failure", AWAY, ids=lambda failure: failure.kind.name)
async def test_while_access_is_away_an_identity_is_used_until_it_ends(access: Access, failure: RetinueError) -> None:
    cache = access.cache()
    await cache.identity(TOKEN)
    access.failure = failure
    access.seconds += LIFE - 1
    assert await cache.identity(TOKEN) == "identity 1"
    access.seconds += 0.5
    assert await cache.identity(TOKEN) == "identity 1"
    # Nor is access asked more than once a second while it is away.
    assert len(access.asked) == 2
    access.seconds += 0.5
    assert await kind_of_refusal(cache) is Kind.UNAVAILABLE


@pytest.mark.parametrize("failure", AWAY, ids=lambda failure: failure.kind.name)
async def test_a_token_that_is_not_known_is_refused_while_access_is_away(access: Access, failure: RetinueError) -> None:
    access.failure = failure
    assert await kind_of_refusal(access.cache()) is Kind.UNAVAILABLE


async def test_access_is_believed_again_when_it_is_back(access: Access) -> None:
    cache = access.cache()
    await cache.identity(TOKEN)
    access.failure = errors.unavailable("down")
    access.seconds += 2
    await cache.identity(TOKEN)
    access.failure = None
    access.seconds += 1
    assert await cache.identity(TOKEN) == "identity 3"


@pytest.mark.parametrize(
    "verdict",
    [
        errors.unauthenticated("revoked", code="TOKEN_REVOKED"),
        errors.denied("closed"),
        errors.not_found("token", "1"),
        errors.invalid("nonsense"),
    ],
    ids=lambda verdict: verdict.kind.name,
)
async def test_a_token_that_was_revoked_is_gone(access: Access, verdict: RetinueError) -> None:
    cache = access.cache()
    await cache.identity(TOKEN)
    access.failure = verdict
    access.seconds += 0.5
    assert await cache.identity(TOKEN) == "identity 1"
    access.seconds += 0.5
    assert await kind_of_refusal(cache) is verdict.kind
    # Also when access goes away afterwards.
    access.failure = errors.unavailable("down")
    assert await kind_of_refusal(cache) is Kind.UNAVAILABLE


async def test_an_identity_that_ended_is_not_used_within_the_second(access: Access) -> None:
    cache = access.cache()

    async def brief(token: str) -> tuple[str, float]:
        await access.exchange(token)
        return f"identity {len(access.asked)}", access.seconds + 0.5

    cache._exchange = brief
    await cache.identity(TOKEN)
    access.seconds += 0.5
    assert await cache.identity(TOKEN) == "identity 2"


async def test_the_cache_is_bounded_and_keeps_what_was_asked_for_last(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CACHED", 2)
    cache = access.cache()
    for token in ("rtn_a", "rtn_b"):
        await cache.identity(token)
    access.seconds += 1
    for token in ("rtn_a", "rtn_c"):
        await cache.identity(token)
    assert list(cache._known) == ["rtn_a", "rtn_c"]
    assert cache._asking == {}
