"""A database with versions from before their history was kept is brought forward with nothing lost."""

from __future__ import annotations

import psycopg

from retinue_core.db import migrate
from tests.integration.agent.room import member
from tests.integration.version.room import Rooms

BACK = """
drop table retinue_version.version_events;
drop function retinue_version.refuse_other_history;
alter table retinue_version.versions drop column status_reason, drop column status_changed_at;
alter table retinue_version.heads drop column moves, drop column told, drop column tell_tried_at;
alter table retinue_version.idempotency drop column holder;
update retinue_version.alembic_version set version_num = '0001'
"""


async def test_what_was_published_before_history_began_is_in_it(rooms: Rooms, postgres_url: str) -> None:
    who = member()
    agent = await rooms.released(who, "one", "two")
    with psycopg.connect(postgres_url) as connection:
        connection.execute(BACK)
    migrate(postgres_url, "version")
    assert await rooms.history(who, agent) == [("PUBLISHED", "1.0.0", ""), ("PUBLISHED", "1.0.1", "1.0.0")]
    await rooms.act(who, "rollback", agent, "1.0.0")
    assert (await rooms.history(who, agent))[2:] == [("ROLLED_BACK", "1.0.0", "1.0.1")]
    assert (await rooms.get(who, agent)).current_version == "1.0.0"
