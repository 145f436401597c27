"""Tokens are exchanged for identities, created within one's own rights, listed, and revoked for good."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity
from services.access import domain
from tests.integration.access.room import SECRET, Access


async def refused(access: Access, secret: str) -> RetinueError:
    with pytest.raises(RetinueError) as caught:
        await access.authenticate(secret)
    assert caught.value.kind is Kind.UNAUTHENTICATED
    return caught.value


async def test_a_token_stands_for_its_user(access: Access) -> None:
    user = await access.user((await access.organization()).id)
    found = await access.identity(await access.secret_of(user.id))
    assert found == Identity(user.organization_id, user.id, scopes=domain.MEMBER_SCOPES)


async def test_a_token_of_a_service_account_says_so(access: Access) -> None:
    user = await access.user((await access.organization()).id, kind="SERVICE_ACCOUNT")
    assert (await access.identity(await access.secret_of(user.id))).kind == "service_account"


async def test_an_administrator_has_every_scope_of_the_organisation_and_none_of_the_platform(access: Access) -> None:
    found = await access.identity(await access.somebody("ADMIN"))
    assert found.admin
    assert domain.carried_by(found) == domain.ADMIN_SCOPES


async def test_a_token_with_scopes_carries_these_only_even_of_an_administrator(access: Access) -> None:
    found = await access.identity(await access.somebody("ADMIN", "agents:read"))
    assert (found.admin, found.scopes) == (False, frozenset({"agents:read"}))


@pytest.mark.parametrize("secret", ["rtn_" + "x" * 43, "rtn_", "password", "rtn_" + "x" * 5000, "rtn_\0", "rtn_ü"])
async def test_whatever_was_never_a_token_gets_the_same_answer(access: Access, secret: str) -> None:
    error = await refused(access, secret)
    assert (error.code, error.message) == ("UNAUTHENTICATED", "The token is not one of this installation.")
    assert error.actions


async def test_a_token_stops_working_when_it_expires(access: Access) -> None:
    user = await access.user((await access.organization()).id)
    secret = await access.secret_of(user.id, expires_at=access.clock.now() + timedelta(seconds=100))
    access.clock.advance(99)
    assert await access.authenticate(secret)
    access.clock.advance(1)
    error = await refused(access, secret)
    assert (error.code, error.actions) == ("TOKEN_EXPIRED", ("Create a new token and use it instead.",))


async def test_an_identity_never_outlives_its_token(access: Access) -> None:
    user, end = await access.user((await access.organization()).id), access.clock.now() + timedelta(seconds=100)
    answer = await access.authenticate(await access.secret_of(user.id, expires_at=end))
    assert answer.expires_at.ToSeconds() <= end.timestamp()
    endless = await access.authenticate(SECRET)
    assert endless.expires_at.ToSeconds() == int(access.clock.now().timestamp()) + 300


async def test_a_revoked_token_stops_working_and_who_cached_it_is_told(access: Access) -> None:
    secret = await access.somebody()
    [token] = (await access.call(secret, "ListTokens")).tokens
    told: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def listen(subject: str, data: bytes) -> None:
        await told.put((subject, data))

    home = (await access.identity(secret)).organization_id
    await access.events.listen("access.*.tokens.revoked", listen)
    await access.call(secret, "RevokeToken", token_id=token.id)
    subject, data = await asyncio.wait_for(told.get(), 10)
    assert subject == f"access.{home}.tokens.revoked"
    assert json.loads(data) == {"tokenId": token.id, "hash": domain.hash_of(secret).hex()}
    assert (await refused(access, secret)).code == "TOKEN_REVOKED"


async def test_revoking_again_changes_nothing_and_tells_again(access: Access) -> None:
    user = await access.user((await access.organization()).id)
    await access.secret_of(user.id)
    [token] = await access.store.tokens(user.organization_id, user.id, "", 10)
    await access.call(SECRET, "RevokeToken", token_id=token.id)
    first = await access.store.token(user.organization_id, token.id)
    access.clock.advance(60)
    await access.call(SECRET, "RevokeToken", token_id=token.id)
    assert await access.store.token(user.organization_id, token.id) == first
    assert first.revoked_at is not None


async def test_the_secret_is_shown_once_and_kept_nowhere(access: Access) -> None:
    secret = await access.somebody()
    [token] = (await access.call(secret, "ListTokens")).tokens
    assert secret.startswith(token.prefix)
    assert len(token.prefix) == domain.PREFIX_LENGTH
    async with access.database.system() as connection:
        rows = await (await connection.execute("select t::text as row from tokens t")).fetchall()
    assert not [row for row in rows if secret[domain.PREFIX_LENGTH :] in row["row"]]


async def test_members_list_their_own_tokens_and_administrators_all(access: Access) -> None:
    home = (await access.organization()).id
    member, boss = await access.user(home), await access.user(home, "ADMIN")
    secrets = {user.id: await access.secret_of(user.id) for user in (member, boss)}
    assert {token.user_id for token in (await access.call(secrets[member.id], "ListTokens")).tokens} == {member.id}
    assert {token.user_id for token in (await access.call(secrets[boss.id], "ListTokens")).tokens} == {
        member.id,
        boss.id,
    }


async def test_a_member_creates_tokens_for_herself(access: Access) -> None:
    secret = await access.somebody()
    made = await access.call(secret, "CreateToken", token={"name": "laptop", "scopes": ["agents:read", "agents:read"]})
    found = await access.identity(made.secret)
    assert (found.subject, found.scopes) == ((await access.identity(secret)).subject, frozenset({"agents:read"}))
    assert list(made.token.scopes) == ["agents:read"]


async def test_only_administrators_create_tokens_for_others(access: Access) -> None:
    home = (await access.organization()).id
    member, other, boss = await access.user(home), await access.user(home), await access.user(home, "ADMIN")
    wanted = {"name": "gift", "user_id": other.id}
    with pytest.raises(RetinueError) as caught:
        await access.call(await access.secret_of(member.id), "CreateToken", token=wanted)
    assert caught.value.kind is Kind.PERMISSION_DENIED
    made = await access.call(await access.secret_of(boss.id), "CreateToken", token=wanted)
    assert (await access.identity(made.secret)).subject == other.id


async def test_an_administrator_reaches_nobody_in_another_organisation(access: Access) -> None:
    stranger = await access.user((await access.organization()).id)
    boss = await access.somebody("ADMIN")
    with pytest.raises(RetinueError) as caught:
        await access.call(boss, "CreateToken", token={"name": "theft", "user_id": stranger.id})
    assert caught.value.code == "USER_NOT_FOUND"


@pytest.mark.parametrize(
    ("own", "wanted", "field"),
    [
        (["tokens:write"], [], "scopes"),
        (["tokens:write"], ["tokens:write", "agents:write"], "scopes[1]"),
        ([], ["users:write"], "scopes[0]"),
        ([], ["platform:admin"], "scopes[0]"),
    ],
)
async def test_nobody_gives_more_than_they_have(access: Access, own: list[str], wanted: list[str], field: str) -> None:
    secret = await access.somebody("MEMBER", *own)
    with pytest.raises(RetinueError) as caught:
        await access.call(secret, "CreateToken", token={"name": "more", "scopes": wanted})
    assert [problem.field for problem in caught.value.problems] == [field]


async def test_an_administrator_cannot_become_the_operator_by_making_a_token_of_theirs(access: Access) -> None:
    operator = await access.identity(SECRET)
    boss = await access.user(operator.organization_id, "ADMIN")
    with pytest.raises(RetinueError) as caught:
        await access.call(
            await access.secret_of(boss.id), "CreateToken", token={"name": "up", "user_id": operator.subject}
        )
    assert [problem.field for problem in caught.value.problems] == ["scopes"]


async def test_tokens_of_others_cannot_be_told_from_none(access: Access) -> None:
    home = (await access.organization()).id
    member, other = await access.user(home), await access.user(home)
    await access.secret_of(other.id)
    [token] = await access.store.tokens(home, other.id, "", 10)
    for secret in (await access.secret_of(member.id), await access.somebody("ADMIN")):
        with pytest.raises(RetinueError) as caught:
            await access.call(secret, "RevokeToken", token_id=token.id)
        assert caught.value.code == "TOKEN_NOT_FOUND"
    assert (await access.store.token(home, token.id)).revoked_at is None


async def test_a_service_has_no_tokens_of_its_own(access: Access) -> None:
    service = Identity((await access.organization()).id, "quota", kind="service")
    for method, fields in (("CreateToken", {"token": {"name": "mine"}}), ("GetCaller", {})):
        with pytest.raises(RetinueError) as caught:
            await access.call_as(service, method, **fields)
        assert caught.value.code == "NOT_A_USER"
