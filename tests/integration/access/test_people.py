"""Organisations and users are created, read and listed, and the first of them by the bootstrap."""

from __future__ import annotations

import asyncio

import pytest

from retinue_core.db import Database
from retinue_core.errors import Kind, RetinueError
from retinue_core.identity import Identity
from services.access import domain
from services.access.bootstrap import EMAIL, bootstrap
from services.access.store import Store
from tests.integration.access.room import SECRET, Access


async def test_the_bootstrap_makes_an_organisation_an_administrator_and_the_token(access: Access) -> None:
    caller = await access.call(SECRET, "GetCaller")
    assert (caller.organization.name, caller.organization.plan) == ("default", "local")
    assert (caller.user.email, caller.user.role) == (EMAIL, 1)
    assert set(caller.scopes) == domain.SCOPES


async def test_the_bootstrap_in_two_replicas_at_once_makes_one_organisation(
    empty_access: Database, access: Access
) -> None:
    store = Store(empty_access)
    await asyncio.gather(*(bootstrap(store, SECRET, access.clock) for _ in range(8)))
    for table in ("organizations", "users", "tokens"):
        [row] = await empty_access.statement("*", f"select count(*) as found from {table}")
        assert row["found"] == 1


async def test_another_bootstrap_token_is_added_for_the_same_administrator(access: Access) -> None:
    other = f"rtn_{'c' * 43}"
    await bootstrap(access.store, other, access.clock)
    assert await access.identity(other) == await access.identity(SECRET)


async def test_a_bootstrap_token_that_was_revoked_stays_revoked(access: Access) -> None:
    other = f"rtn_{'d' * 43}"
    await bootstrap(access.store, other, access.clock)
    found = await access.store.token_by_hash(domain.hash_of(other))
    assert found is not None
    await access.call(SECRET, "RevokeToken", token_id=found[0].id)
    await bootstrap(access.store, other, access.clock)
    with pytest.raises(RetinueError) as caught:
        await access.authenticate(other)
    assert caught.value.code == "TOKEN_REVOKED"


async def test_a_bootstrap_token_of_another_form_is_refused_and_not_repeated(access: Access) -> None:
    with pytest.raises(RetinueError) as caught:
        await bootstrap(access.store, "hunter2", access.clock)
    assert caught.value.code == "INVALID_CONFIGURATION"
    assert "hunter2" not in caught.value.message


async def test_an_organisation_is_read_by_its_members_the_operator_and_services(access: Access) -> None:
    made = await access.organization(name="  Engines  ", plan="local")
    assert (made.name, made.plan) == ("Engines", "local")
    member = await access.secret_of((await access.user(made.id)).id)
    assert (await access.call(member, "GetOrganization", organization_id=made.id)).organization == made
    assert (await access.call(SECRET, "GetOrganization", organization_id=made.id)).organization == made
    service = Identity(made.id, "quota", kind="service")
    assert (await access.call_as(service, "GetOrganization", organization_id=made.id)).organization == made


async def test_an_organisation_without_a_plan_is_on_the_standard_one(access: Access) -> None:
    assert (await access.organization()).plan == "standard"


async def test_another_organisation_cannot_be_told_from_none(access: Access) -> None:
    made, secret = await access.organization(), await access.somebody("ADMIN")
    answers = []
    for organization_id in (made.id, "01990000-0000-7000-8000-000000000000", "nonsense"):
        with pytest.raises(RetinueError) as caught:
            await access.call(secret, "GetOrganization", organization_id=organization_id)
        answers.append((caught.value.code, caught.value.message.replace(organization_id, "…")))
    assert set(answers) == {("ORGANIZATION_NOT_FOUND", "There is no organization '…' that you can see.")}


async def test_addresses_are_unique_in_an_organisation_without_case(access: Access) -> None:
    home, other = await access.organization(), await access.organization()
    await access.user(home.id, email="Ada@Example.com")
    with pytest.raises(RetinueError) as caught:
        await access.user(home.id, email="aDA@example.COM")
    assert (caught.value.kind, caught.value.code) == (Kind.ALREADY_EXISTS, "DUPLICATE_USER_EMAIL")
    assert await access.user(other.id, email="ada@example.com")


async def test_of_users_created_at_once_with_one_address_one_remains(access: Access) -> None:
    home = await access.organization()
    made = await asyncio.gather(
        *(access.user(home.id, email="grace@example.com") for _ in range(10)), return_exceptions=True
    )
    assert sum(not isinstance(user, BaseException) for user in made) == 1


async def test_an_administrator_creates_users_at_home_and_only_there(access: Access) -> None:
    boss, elsewhere = await access.somebody("ADMIN"), await access.organization()
    made = (await access.call(boss, "CreateUser", user={"email": "new@example.com"})).user
    assert (made.organization_id, made.role, made.kind) == ((await access.identity(boss)).organization_id, 2, 1)
    with pytest.raises(RetinueError) as caught:
        await access.call(boss, "CreateUser", user={"email": "new@example.com"}, organization_id=elsewhere.id)
    assert caught.value.code == "ORGANIZATION_NOT_FOUND"


@pytest.mark.parametrize("organization_id", ["01990000-0000-7000-8000-000000000000", "nonsense"])
async def test_nobody_is_created_in_an_organisation_that_is_not_there(access: Access, organization_id: str) -> None:
    with pytest.raises(RetinueError) as caught:
        await access.user(organization_id)
    assert caught.value.code == "ORGANIZATION_NOT_FOUND"


async def test_a_user_cannot_create_one_with_more_rights(access: Access) -> None:
    secret = await access.somebody("ADMIN", "users:write")
    with pytest.raises(RetinueError) as caught:
        await access.call(secret, "CreateUser", user={"email": "boss@example.com", "role": "ADMIN"})
    assert caught.value.kind is Kind.PERMISSION_DENIED


async def test_pages_hold_every_user_once_in_the_order_of_creation(access: Access) -> None:
    home = await access.organization()
    made = [(await access.user(home.id, "ADMIN")).id for _ in range(5)]
    secret = await access.secret_of(made[0])
    seen: list[str] = []
    token = ""
    while True:
        page = await access.call(secret, "ListUsers", page_size=2, page_token=token)
        seen += [user.id for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert seen == made


async def test_a_page_token_of_another_list_is_refused(access: Access) -> None:
    home = await access.organization()
    boss = await access.user(home.id, "ADMIN")
    secret = await access.secret_of(boss.id)
    await access.secret_of(boss.id)
    token = (await access.call(secret, "ListTokens", page_size=1)).next_page_token
    assert token
    for method, sent in (("ListUsers", token), ("ListTokens", "rubbish"), ("ListTokens", token[:-3])):
        with pytest.raises(RetinueError) as caught:
            await access.call(secret, method, page_token=sent)
        assert caught.value.code == "INVALID_PAGE_TOKEN"
    with pytest.raises(RetinueError) as caught:
        await access.call(await access.somebody("ADMIN"), "ListTokens", page_token=token)
    assert caught.value.code == "INVALID_PAGE_TOKEN"


async def test_the_database_itself_shows_an_organisation_only_its_own(access: Access) -> None:
    mine, theirs = await access.organization(), await access.organization()
    await access.secret_of((await access.user(theirs.id)).id)
    for table in ("organizations", "users", "tokens"):
        rows = await access.database.statement(mine.id, f"select organization_id::text as home from {table}")
        assert {row["home"] for row in rows} <= {mine.id}
        assert await access.database.statement(theirs.id, f"select 1 from {table}")
