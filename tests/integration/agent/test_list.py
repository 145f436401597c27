"""Lists show what the caller may see, filtered, sorted, page by page, and read it from indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from retinue.agent.v1.agent_pb2 import Agent
from retinue_core.db.database import connection_arguments
from retinue_core.errors import RetinueError
from retinue_core.identity import Identity
from services.agent.domain.listing import query
from services.agent.store import page_statement
from tests.integration.agent.room import Room, colleague, echo, member

ORDERS = ("", "name", "name desc", "created_at", "created_at desc", "updated_at", "updatedAt desc")
MANY = 20_000


async def names(agents: Room, who: Identity, **asked: Any) -> list[str]:
    return [agent.name for agent in (await agents.call(who, "ListAgents", **asked)).agents]


async def create(agents: Room, who: Identity, **fields: Any) -> Agent:
    agent: Agent = (await agents.call(who, "CreateAgent", agent=echo(**fields))).agent
    return agent


@pytest.mark.parametrize("order_by", ORDERS)
async def test_pages_have_no_gap_and_no_repeat(agents: Room, order_by: str) -> None:
    who = member()
    other = colleague(who)
    for number in range(4):
        await create(agents, who, name=f"Mine {number}")
        await create(agents, other, name=f"Shared {number}", visibility=Agent.ORGANIZATION)
        await create(agents, other, name=f"Hidden {number}")
    # Public agents of other tests and organisations are visible too; the filter leaves them out.
    narrowed = {"filter": "model=scripted", "order_by": order_by}
    whole = await names(agents, who, page_size=1000, **narrowed)
    assert sorted(whole) == [*(f"Mine {n}" for n in range(4)), *(f"Shared {n}" for n in range(4))]
    if "name" in order_by:
        assert whole == sorted(whole, reverse="desc" in order_by)
    for size in (1, 3, 8):
        seen, token = [], ""
        while True:
            page = await agents.call(who, "ListAgents", page_size=size, page_token=token, **narrowed)
            seen += [agent.name for agent in page.agents]
            token = page.next_page_token
            if not token:
                break
        assert seen == whole


async def test_a_page_token_continues_only_the_list_it_came_from(agents: Room) -> None:
    who = member()
    for _ in range(3):
        await create(agents, who)
    token = (await agents.call(who, "ListAgents", page_size=1)).next_page_token
    assert token
    for changed in ({"filter": "active=true"}, {"order_by": "name"}, {"order_by": "created_at"}):
        with pytest.raises(RetinueError) as refused:
            await agents.call(who, "ListAgents", page_size=1, page_token=token, **changed)
        assert refused.value.code == "INVALID_PAGE_TOKEN"


async def test_who_sees_what(agents: Room) -> None:
    owner = member()
    shown = {"PRIVATE": "p", "TEAM": "t", "ORGANIZATION": "o", "PUBLIC": "u"}
    for visibility, name in shown.items():
        await create(agents, owner, name=name, visibility=visibility, tags=["who"])
    same = colleague(owner)
    assert sorted(await names(agents, owner, filter="tag=who")) == ["o", "p", "t", "u"]
    assert sorted(await names(agents, colleague(owner, admin=True), filter="tag=who")) == ["o", "p", "t", "u"]
    assert sorted(await names(agents, same, filter="tag=who")) == ["o", "u"]
    assert await names(agents, member(), filter="tag=who") == ["u"]
    assert await names(agents, member(), filter="tag=who AND name:u") == ["u"]
    assert await names(agents, same, filter="visibility=ORGANIZATION") == ["o"]


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ('name="csv reader"', ["CSV Reader"]),
        ("name:read", ["CSV Reader", "Reading list"]),
        ("name:reader AND name:CSV", ["CSV Reader"]),
        ('name:"csv rea"', ["CSV Reader"]),
        ("name:eader", []),
        ("name:straße", ["Straße-42"]),
        ("name:42", ["Straße-42"]),
        ("department=sales", ["CSV Reader", "Straße-42"]),
        ("department=SALES", []),
        ('department="" AND tag=a', ["Reading list"]),
        ('project="q 1"', ["Reading list"]),
        ("model=fast", ["Straße-42"]),
        ("tag=a", ["CSV Reader", "Reading list"]),
        ("tag=a AND tag=b", ["CSV Reader"]),
        ("active=false", ["Reading list"]),
        ("active=true AND department=sales and tag=b", ["CSV Reader"]),
        ("visibility=organization", ["Straße-42"]),
    ],
)
async def test_filters(agents: Room, filter_text: str, found: list[str]) -> None:
    who = member()
    await create(agents, who, name="CSV Reader", department="sales", tags=["a", "b"])
    await create(agents, who, name="Reading list", project="q 1", tags=["a"], active=False)
    await create(agents, who, name="Straße-42", department="sales", model="fast", visibility=Agent.ORGANIZATION)
    assert await names(agents, who, filter=filter_text, order_by="name") == found


async def test_a_renamed_and_retagged_agent_is_found_by_what_it_is_now(agents: Room) -> None:
    who = member()
    created = await create(agents, who, name="Old word", tags=["old"])
    await agents.call(who, "UpdateAgent", agent_id=created.id, agent={"name": "New word", "tags": ["new"]})
    assert await names(agents, who, filter="name:new AND tag=new") == ["New word"]
    assert await names(agents, who, filter="name:old") == []
    assert await names(agents, who, filter="tag=old") == []


@pytest.fixture(scope="module")
def crowded(postgres_url: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A connection as the room's role to a database in which one organisation has very many agents."""
    organization = "0199a1b0-0000-7000-8000-0000000000aa"
    with psycopg.connect(postgres_url) as owner:
        owner.execute(_AGENTS, {"organization": organization, "many": MANY})
        owner.execute(_TERMS, {"organization": organization})
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute("analyze retinue_agent.agents")
        owner.execute("analyze retinue_agent.terms")
    with psycopg.connect(postgres_url, **connection_arguments(postgres_url, "agent")) as connection:
        connection.execute("select set_config('retinue.organization_id', %s, false)", [organization])
        yield connection, organization


@pytest.mark.parametrize("admin", [True, False])
@pytest.mark.parametrize(
    ("filter_text", "order_by"),
    [
        ("", ""),
        ("", "name"),
        ("", "updated_at desc"),
        ('name="agent 77"', ""),
        ("name:agent77", ""),
        ("department=d7", ""),
        ("project=p7", ""),
        ("model=fast", ""),
        ("tag=t7", ""),
        ("tag=t7 AND name:agent77", "updated_at"),
        ("active=false", ""),
        ("visibility=PUBLIC", ""),
    ],
)
def test_lists_read_few_rows_and_never_the_whole_table(
    crowded: tuple[psycopg.Connection[Any], str], filter_text: str, order_by: str, admin: bool
) -> None:
    connection, organization = crowded
    who = Identity(organization, "owner-7", admin=admin)
    first = query(who, 50, "", filter_text, order_by)
    statement, values = page_statement(first)
    explain = psycopg.sql.SQL("explain (analyze, format json, costs off, timing off) {}").format(statement)
    row = connection.execute(explain, values, prepare=False).fetchone()
    assert row is not None
    nodes = list(_nodes(row["QUERY PLAN"][0]["Plan"]))
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    touched = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if "Relation Name" in node
    )
    assert touched < MANY / 10, touched


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


_AGENTS = """
insert into retinue_agent.agents (id, organization_id, owner_id, name, name_key, description, department, project,
    tags, visibility, trigger_mode, active, model, spec, current_version, latest_version, draft_version,
    draft_revision, draft_edited, revision, created_at, updated_at)
select gen_random_uuid(), case when n %% 10 = 0 then gen_random_uuid() else %(organization)s::uuid end,
    'owner-' || n %% 500, 'Agent ' || n, 'agent ' || n, '', 'd' || n %% 200, 'p' || n %% 200,
    array['t' || n %% 300], (array['PRIVATE', 'TEAM', 'ORGANIZATION', 'PRIVATE', 'PRIVATE'])[1 + n %% 5], 'MANUAL',
    n %% 100 <> 3, (array['scripted', 'fast'])[1 + (n %% 50 = 1)::int], '{}', '', '', '1.0.0', 1, true, 1,
    now() - make_interval(secs => n * 17 %% 7919), now() - make_interval(secs => n * 31 %% 6997)
from generate_series(1, %(many)s) n
"""
_TERMS = """
insert into retinue_agent.terms (agent_id, organization_id, kind, term, public)
select id, organization_id, kind, term, visibility = 'PUBLIC'
from retinue_agent.agents, lateral (values ('tag', tags[1]), ('word', 'agent'), ('word', replace(name_key, ' ', '')))
    found (kind, term)
where organization_id = %(organization)s
"""
