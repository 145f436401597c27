"""The functions that book what reservations came to, and that give back those which nobody settled.

They follow the rules of `0002`: the lock on the organisations first, in order; generic plans; fenced look-ups.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

TYPES = """
create type settlement as (
    organization_id uuid, reservation_id text, input_tokens bigint, output_tokens bigint, cost_micros bigint,
    credits bigint, steps bigint, tool_calls bigint, ended text,
    user_id text, agent_id text, execution_id text, project_id text, team_ids text[]
);
create type booking as (
    settlement settlement, live boolean, tokens bigint, cost_micros bigint, credits bigint, unlimited int
);
create type overrun as (reservation_id text, tokens bigint, cost_micros bigint, credits bigint);
"""

FORGET = """
create function forget(bookings booking[]) returns void
language plpgsql set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    delete from reservations r using unnest(bookings) b
    where r.organization_id = (b.settlement).organization_id and r.id = (b.settlement).reservation_id;
    delete from extensions e using unnest(bookings) b
    where e.organization_id = (b.settlement).organization_id and e.reservation_id = (b.settlement).reservation_id;
end $$;
comment on function forget is 'Deletes reservations and extensions, by look-ups however small the tables seem.';
"""

COUNT = """
create function count_in(bookings booking[], at timestamptz) returns void
language plpgsql as $$
begin
    insert into counters as c (organization_id, level, subject_id,
        running, reserved_tokens, reserved_cost_micros, reserved_credits,
        minute, minute_tokens, minute_cost_micros, minute_credits,
        day, day_tokens, day_cost_micros, day_credits,
        month, month_tokens, month_cost_micros, month_credits,
        total_tokens, total_cost_micros, total_credits)
    select organization_id, level, subject_id, -live, -live_tokens, -live_cost_micros, -live_credits,
        date_trunc('minute', at, 'UTC'), tokens, cost_micros, credits,
        date_trunc('day', at, 'UTC'), tokens, cost_micros, credits,
        date_trunc('month', at, 'UTC'), tokens, cost_micros, credits,
        tokens, cost_micros, credits
    from (
        select (b.settlement).organization_id, s.level, s.subject_id,
            count(*) filter (where b.live) as live,
            coalesce(sum(b.tokens) filter (where b.live), 0) as live_tokens,
            coalesce(sum(b.cost_micros) filter (where b.live), 0) as live_cost_micros,
            coalesce(sum(b.credits) filter (where b.live), 0) as live_credits,
            sum((b.settlement).input_tokens + (b.settlement).output_tokens) as tokens,
            sum((b.settlement).cost_micros) as cost_micros,
            sum((b.settlement).credits) as credits
        from unnest(bookings) b
        cross join subjects((b.settlement).user_id, (b.settlement).agent_id, (b.settlement).team_ids) s
        group by 1, 2, 3
    ) batch
    on conflict (organization_id, level, subject_id) do update set
        running = c.running + excluded.running,
        reserved_tokens = c.reserved_tokens + excluded.reserved_tokens,
        reserved_cost_micros = c.reserved_cost_micros + excluded.reserved_cost_micros,
        reserved_credits = c.reserved_credits + excluded.reserved_credits,
        minute = greatest(c.minute, excluded.minute),
        minute_tokens = excluded.minute_tokens + case when c.minute >= excluded.minute then c.minute_tokens else 0 end,
        minute_cost_micros = excluded.minute_cost_micros
            + case when c.minute >= excluded.minute then c.minute_cost_micros else 0 end,
        minute_credits = excluded.minute_credits
            + case when c.minute >= excluded.minute then c.minute_credits else 0 end,
        day = greatest(c.day, excluded.day),
        day_tokens = excluded.day_tokens + case when c.day >= excluded.day then c.day_tokens else 0 end,
        day_cost_micros = excluded.day_cost_micros + case when c.day >= excluded.day then c.day_cost_micros else 0 end,
        day_credits = excluded.day_credits + case when c.day >= excluded.day then c.day_credits else 0 end,
        month = greatest(c.month, excluded.month),
        month_tokens = excluded.month_tokens + case when c.month >= excluded.month then c.month_tokens else 0 end,
        month_cost_micros = excluded.month_cost_micros
            + case when c.month >= excluded.month then c.month_cost_micros else 0 end,
        month_credits = excluded.month_credits + case when c.month >= excluded.month then c.month_credits else 0 end,
        total_tokens = c.total_tokens + excluded.total_tokens,
        total_cost_micros = c.total_cost_micros + excluded.total_cost_micros,
        total_credits = c.total_credits + excluded.total_credits;
end $$;
comment on function count_in is
    'Gives back what was held and counts what was used; a window that the clock has left begins again at zero.';
"""

SETTLE = """
create function settle(batch json) returns setof overrun
language plpgsql set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    asked settlement[] := array(select s from json_populate_recordset(null::settlement, batch) s);
    bookings booking[];
    at timestamptz;
begin
    perform lock_organizations(array(select organization_id from unnest(asked)));
    at := clock_timestamp();
    with found as materialized (
        select a.organization_id, a.reservation_id, a.ordinality, row(
            row(a.organization_id, a.reservation_id, a.input_tokens, a.output_tokens, a.cost_micros, a.credits,
                a.steps, a.tool_calls, a.ended,
                coalesce(r.user_id, a.user_id), coalesce(r.agent_id, a.agent_id),
                coalesce(r.execution_id, a.execution_id), coalesce(r.project_id, a.project_id),
                coalesce(r.team_ids, a.team_ids))::settlement,
            r.id is not null and r.expired_at is null,
            coalesce(r.tokens, 0), coalesce(r.cost_micros, 0), coalesce(r.credits, 0), coalesce(r.unlimited, 0)
        )::booking as b
        from unnest(asked) with ordinality a
        left join lateral (
            select r.* from reservations r
            where r.organization_id = a.organization_id and r.id = a.reservation_id offset 0
        ) r on true
    ), fresh as (
        insert into settled
        select organization_id, reservation_id, (b).tokens, (b).cost_micros, (b).credits, (b).unlimited from found
        on conflict do nothing
        returning organization_id, reservation_id
    )
    select coalesce(array_agg(f.b order by f.ordinality), '{}') into bookings
    from found f join fresh using (organization_id, reservation_id);

    insert into ledger (organization_id, reservation_id, booked_at, user_id, agent_id, execution_id, project_id,
        team_ids, input_tokens, output_tokens, cost_micros, credits, steps, tool_calls, ended)
    select s.organization_id, s.reservation_id, at, s.user_id, s.agent_id, s.execution_id, s.project_id,
        s.team_ids, s.input_tokens, s.output_tokens, s.cost_micros, s.credits, s.steps, s.tool_calls, s.ended
    from unnest(bookings) b, unnest(array[b.settlement]) s;
    perform forget(bookings);
    perform count_in(bookings, at);
    return query
        select o.* from (
            select s.reservation_id,
                case when b.unlimited & 1 > 0 then 0 else greatest(s.input_tokens + s.output_tokens - b.tokens, 0) end,
                case when b.unlimited & 2 > 0 then 0 else greatest(s.cost_micros - b.cost_micros, 0) end,
                case when b.unlimited & 4 > 0 then 0 else greatest(s.credits - b.credits, 0) end
            from unnest(bookings) b, unnest(array[b.settlement]) s
        ) o (reservation_id, tokens, cost_micros, credits)
        where o.tokens > 0 or o.cost_micros > 0 or o.credits > 0;
end $$;
"""

EXPIRE = """
create function expire(organization uuid, most integer) returns integer
language plpgsql as $$
declare
    gone reservations[];
begin
    perform lock_organizations(array[organization]);
    with due as (
        select id from reservations
        where organization_id = organization and expired_at is null and expires_at <= clock_timestamp()
        order by expires_at limit most
    ), expired as (
        update reservations r set expired_at = clock_timestamp() from due
        where r.organization_id = organization and r.id = due.id
        returning r
    )
    select coalesce(array_agg(r), '{}') into gone from expired;
    update counters c set
        running = c.running - g.running,
        reserved_tokens = c.reserved_tokens - g.tokens,
        reserved_cost_micros = c.reserved_cost_micros - g.cost_micros,
        reserved_credits = c.reserved_credits - g.credits
    from (
        select s.level, s.subject_id, count(*) as running,
            sum(r.tokens) as tokens, sum(r.cost_micros) as cost_micros, sum(r.credits) as credits
        from unnest(gone) r cross join subjects(r.user_id, r.agent_id, r.team_ids) s
        group by s.level, s.subject_id
    ) g
    where c.organization_id = organization and c.level = g.level and c.subject_id = g.subject_id;
    return cardinality(gone);
end $$;
comment on function expire is 'Gives back up to `most` reservations of an organisation that are over. Books nothing.';
"""


def upgrade() -> None:
    for statement in (TYPES, FORGET, COUNT, SETTLE, EXPIRE):
        op.execute(statement)
