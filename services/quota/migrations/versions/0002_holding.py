"""The functions that hold back: one round trip for a batch, exact under any concurrency.

All of them first lock the organisations of the batch, in the order of their ids. What belongs to an organisation is
changed under that lock only, so two batches can neither deadlock nor read a figure that the other is about to change:
each statement after the lock sees everything that was committed before it (READ COMMITTED).

Plans are generic and made without sequential scans, and look-ups are fenced by `offset 0`: the planner cannot know how
tables that were empty a moment ago will have grown.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

TYPES = """
create type claim as (
    ordinal int, organization_id uuid, user_id text, agent_id text, team_ids text[],
    starts bigint, tokens bigint, cost_micros bigint, credits bigint
);
create type roof as (
    organization_id uuid, level text, subject_id text, limit_id uuid, limit_subject_id text,
    metric text, period text, ceiling bigint, used bigint, reserved bigint, source text
);
create type answer as (
    ordinal int, outcome text, tokens bigint, cost_micros bigint, credits bigint, unlimited int, roof roof
);
"""

READING = """
create function subjects(user_id text, agent_id text, team_ids text[]) returns table (level text, subject_id text)
language sql immutable as $$
    select 'ORGANIZATION', '' union all
    select 'USER', user_id where user_id <> '' union all
    select 'AGENT', agent_id where agent_id <> '' union all
    select distinct 'TEAM', team from unnest(team_ids) team where team <> ''
$$;

create function counted(c counters, metric text, period text, at timestamptz) returns bigint
language sql stable as $$
    select coalesce(case period
        when '' then c.running
        when 'TOTAL' then case metric
            when 'TOKENS' then c.total_tokens when 'COST_MICROS' then c.total_cost_micros else c.total_credits end
        when 'MONTH' then case when c.month < date_trunc('month', at, 'UTC') then 0 else case metric
            when 'TOKENS' then c.month_tokens when 'COST_MICROS' then c.month_cost_micros else c.month_credits end end
        when 'DAY' then case when c.day < date_trunc('day', at, 'UTC') then 0 else case metric
            when 'TOKENS' then c.day_tokens when 'COST_MICROS' then c.day_cost_micros else c.day_credits end end
        when 'MINUTE' then case when c.minute < date_trunc('minute', at, 'UTC') then 0 else case metric
            when 'TOKENS' then c.minute_tokens when 'CREDITS' then c.minute_credits else c.minute_cost_micros end end
    end, 0)
$$;
comment on function counted is 'What was used in the window that runs at a time; what runs, for a metric without one.';

create function held(c counters, metric text) returns bigint
language sql immutable as $$
    select coalesce(case metric when 'TOKENS' then c.reserved_tokens when 'COST_MICROS' then c.reserved_cost_micros
        when 'CREDITS' then c.reserved_credits end, 0)
$$;

create function lock_organizations(ids uuid[]) returns void
language plpgsql as $$
declare
    found bigint;
begin
    perform from organizations where organization_id = any (ids) order by organization_id for no key update;
    get diagnostics found = row_count;
    if found < cardinality(ids) and found < (select count(distinct id) from unnest(ids) id) then
        raise exception 'an organisation of the batch was never learnt' using errcode = 'foreign_key_violation';
    end if;
end $$;

create function roofs(claims claim[]) returns setof roof
language sql stable as $$
    select distinct on (s.organization_id, s.level, s.subject_id, l.metric, l.period)
        s.organization_id, s.level, s.subject_id, l.id, l.subject_id, l.metric, l.period, l.ceiling,
        counted(n.c, l.metric, l.period, clock_timestamp()), held(n.c, l.metric), l.source
    from (
        select distinct a.organization_id, b.level, b.subject_id
        from unnest(claims) a, subjects(a.user_id, a.agent_id, a.team_ids) b
    ) s
    join (
        select id, organization_id, level, subject_id, metric, period, ceiling, 'organization' as source from limits
        union all
        select p.id, o.organization_id, p.level, '', p.metric, p.period, p.ceiling, 'plan'
        from organizations o join plan_limits p using (plan)
    ) l on l.organization_id = s.organization_id and l.level = s.level and l.subject_id in ('', s.subject_id)
    left join lateral (
        select c from counters c
        where c.organization_id = s.organization_id and c.level = s.level and c.subject_id = s.subject_id offset 0
    ) n on true
    order by s.organization_id, s.level, s.subject_id, l.metric, l.period, l.subject_id desc, l.source
$$;
comment on function roofs is
    'The limits above some claims: of one subject before those of each subject, own ones before those of the plan.';
"""

HOLD = """
create function hold(claims claim[]) returns answer[]
language plpgsql as $$
declare
    above roof[];
    rooms bigint[];
    kinds int[];
    spent boolean[];
    answers answer[] := '{}';
    turn record;
    i int;
    give bigint[];
    free int;
    blocker int;
begin
    select array_agg(r), array_agg(r.ceiling - r.used - r.reserved),
        array_agg(array_position('{CONCURRENT_EXECUTIONS,TOKENS,COST_MICROS,CREDITS}', r.metric)),
        array_agg(r.metric <> 'CONCURRENT_EXECUTIONS' and r.used >= r.ceiling)
    into above, rooms, kinds, spent from roofs(claims) r;
    for turn in
        select a.ordinal, array[a.starts, a.tokens, a.cost_micros, a.credits] as want, coalesce(t.roofs, '{}') as roofs
        from unnest(claims) a
        left join (
            select a.ordinal,
                array_agg(r.ordinality::int order by r.metric = 'CONCURRENT_EXECUTIONS', r.ordinality) as roofs
            from unnest(claims) a
            cross join subjects(a.user_id, a.agent_id, a.team_ids) s
            join unnest(above) with ordinality r
                on r.organization_id = a.organization_id and r.level = s.level and r.subject_id = s.subject_id
            group by a.ordinal
        ) t on t.ordinal = a.ordinal
        order by a.ordinal
    loop
        give := turn.want;
        free := 14;
        blocker := null;
        foreach i in array turn.roofs loop
            -- What is held by others stops only who wants some of it; a budget that is spent stops everybody.
            if spent[i] or rooms[i] <= 0 and turn.want[kinds[i]] > 0 then
                blocker := i;
                exit;
            end if;
            give[kinds[i]] := greatest(least(give[kinds[i]], rooms[i]), 0);
            free := free & ~(1 << (kinds[i] - 1));
        end loop;
        if blocker is null then
            foreach i in array turn.roofs loop
                rooms[i] := rooms[i] - give[kinds[i]];
            end loop;
            answers := answers || row(turn.ordinal, 'GRANTED', give[2], give[3], give[4], free >> 1, null)::answer;
        else
            answers := answers || row(turn.ordinal, case kinds[blocker] when 1 then 'BUSY' else 'EXHAUSTED' end,
                0, 0, 0, 0, above[blocker])::answer;
        end if;
    end loop;
    insert into counters as c (organization_id, level, subject_id,
        running, reserved_tokens, reserved_cost_micros, reserved_credits)
    select a.organization_id, s.level, s.subject_id,
        sum(a.starts), sum(g.tokens), sum(g.cost_micros), sum(g.credits)
    from unnest(claims) a
    join unnest(answers) g on g.ordinal = a.ordinal and g.outcome = 'GRANTED'
    cross join subjects(a.user_id, a.agent_id, a.team_ids) s
    group by a.organization_id, s.level, s.subject_id
    on conflict (organization_id, level, subject_id) do update set
        running = c.running + excluded.running,
        reserved_tokens = c.reserved_tokens + excluded.reserved_tokens,
        reserved_cost_micros = c.reserved_cost_micros + excluded.reserved_cost_micros,
        reserved_credits = c.reserved_credits + excluded.reserved_credits;
    return answers;
end $$;
comment on function hold is 'Answers claims in their order and counts what is granted; the caller holds the lock.';
"""

RESERVE = """
create function reserve(batch json) returns setof answer
language plpgsql set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    asked reservations[] := array(select r from json_populate_recordset(null::reservations, batch) r);
    known answer[];
    fresh answer[];
begin
    perform lock_organizations(array(select organization_id from unnest(asked)));
    known := array(
        select row(a.ordinality, 'GRANTED', k.tokens, k.cost_micros, k.credits, k.unlimited, null)::answer
        from unnest(asked) with ordinality a
        cross join lateral (
            (select r.tokens, r.cost_micros, r.credits, r.unlimited, r.expired_at from reservations r
            where r.organization_id = a.organization_id and r.id = a.id offset 0)
            union all
            (select d.tokens, d.cost_micros, d.credits, d.unlimited, null from settled d
            where d.organization_id = a.organization_id and d.reservation_id = a.id offset 0)
        ) k
        where k.expired_at is null
    );
    fresh := hold(array(
        select row(a.ordinality, a.organization_id, a.user_id, a.agent_id, a.team_ids,
            1, a.tokens, a.cost_micros, a.credits)::claim
        from unnest(asked) with ordinality a
        where not exists (select from unnest(known) k where k.ordinal = a.ordinality)
    ));
    insert into reservations as r
    select a.organization_id, a.id, a.user_id, a.agent_id, a.execution_id, a.project_id, a.team_ids,
        g.tokens, g.cost_micros, g.credits, g.unlimited,
        coalesce(a.expires_at, clock_timestamp() + interval '1 hour')
    from unnest(fresh) g
    join unnest(asked) with ordinality a on a.ordinality = g.ordinal
    where g.outcome = 'GRANTED'
    on conflict (organization_id, id) do update set
        tokens = excluded.tokens, cost_micros = excluded.cost_micros, credits = excluded.credits,
        unlimited = excluded.unlimited, expires_at = excluded.expires_at, expired_at = null;
    return query select * from unnest(known || fresh);
end $$;
"""

EXTEND = """
create function extend(batch json) returns setof answer
language plpgsql set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    asked extensions[] := array(select e from json_populate_recordset(null::extensions, batch) e);
    known answer[];
    claims claim[];
    fresh answer[];
    added record;
begin
    perform lock_organizations(array(select organization_id from unnest(asked)));
    known := array(
        select row(a.ordinality, 'GRANTED', e.tokens, e.cost_micros, e.credits, e.unlimited, null)::answer
        from unnest(asked) with ordinality a
        cross join lateral (
            select e.* from extensions e where e.organization_id = a.organization_id
            and e.reservation_id = a.reservation_id and e.id = a.id offset 0
        ) e
    );
    claims := array(
        select row(a.ordinality, a.organization_id, r.user_id, r.agent_id, r.team_ids,
            0, a.tokens, a.cost_micros, a.credits)::claim
        from unnest(asked) with ordinality a
        cross join lateral (
            select r.* from reservations r
            where r.organization_id = a.organization_id and r.id = a.reservation_id offset 0
        ) r
        where r.expired_at is null and not exists (select from unnest(known) k where k.ordinal = a.ordinality)
    );
    fresh := hold(claims);
    for added in
        select a.*, g.tokens as more_tokens, g.cost_micros as more_cost_micros, g.credits as more_credits,
            g.unlimited as free
        from unnest(fresh) g
        join unnest(asked) with ordinality a on a.ordinality = g.ordinal
        where g.outcome = 'GRANTED'
    loop
        insert into extensions values (added.organization_id, added.reservation_id, added.id,
            added.more_tokens, added.more_cost_micros, added.more_credits, added.free);
        update reservations as r set tokens = r.tokens + added.more_tokens,
            cost_micros = r.cost_micros + added.more_cost_micros, credits = r.credits + added.more_credits
        where r.organization_id = added.organization_id and r.id = added.reservation_id;
    end loop;
    return query
        select * from unnest(known || fresh)
        union all
        select a.ordinality::int, 'NOT_HELD', 0::bigint, 0::bigint, 0::bigint, 0, null::roof
        from unnest(asked) with ordinality a
        where not exists (select from unnest(known || fresh) k where k.ordinal = a.ordinality);
end $$;
"""


def upgrade() -> None:
    for statement in (TYPES, READING, HOLD, RESERVE, EXTEND):
        op.execute(statement)
