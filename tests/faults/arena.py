"""Where faults happen: a suite of its own on servers of its own, two witnesses, and the closing of the books.

Owns the suite's processes and how they are broken, a sampler that looks into PostgreSQL all the while, and `close`,
which waits until everything has settled, sees that every service works again, and has the books checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import psutil
import psycopg

from retinue_core.embedded import EmbeddedPostgres
from retinue_core.testing.suite import Suite
from tests.clients.agents import say, scripted
from tests.clients.people import people_of
from tests.clients.rest import PATIENCE, Rest
from tests.faults.books import Books, Ledger, Left
from tests.faults.checker import check
from tests.faults.clients import Client, patiently
from tests.faults.oracle import Oracle

WORKERS = 2
LEASE = 2.0
_LOOK = 0.1


@dataclass
class Arena:
    """A running suite and its witnesses: `keyed` honours idempotency keys, `plain` does not, `false` says it does."""

    suite: Suite
    keyed: Oracle
    plain: Oracle
    false: Oracle
    figures: dict[str, list[float]] = field(default_factory=dict)
    lease: float = LEASE

    @property
    def database_url(self) -> str:
        """The suite's own PostgreSQL, as its owner."""
        return EmbeddedPostgres(self.suite.home / "postgres").url

    def measured(self, what: str, *seconds: float) -> None:
        """Keep a figure for the report at the end."""
        self.figures.setdefault(what, []).extend(seconds)

    def running(self, name: str) -> list[psutil.Process]:
        """The running processes of a room or a server, the oldest first."""
        return sorted(self.suite.processes(name), key=lambda process: process.create_time())

    def signal(self, name: str, number: signal.Signals, *, most: int = 100) -> float:
        """Send a signal to the oldest processes of a kind; returns when, in seconds since the epoch."""
        for process in self.running(name)[:most]:
            process.send_signal(number)
        return time.time()

    @contextmanager
    def without_postgres(self) -> Iterator[None]:
        """End PostgreSQL at once, and keep it from starting again until the block ends."""
        settings = self.suite.home / "postgres" / "postgresql.auto.conf"
        before = settings.read_bytes()
        settings.write_bytes(before + b"\nnonsense = yes\n")
        try:
            self.signal("postgres", signal.SIGQUIT)
            yield
        finally:
            settings.write_bytes(before)

    def sessions(self) -> set[str]:
        """The sessions of the workers whose lease lives, by the database."""
        with psycopg.connect(self.database_url, connect_timeout=5) as connection:
            query = b"select id::text from retinue_execution.sessions where expires_at > now()"
            return {str(row[0]) for row in connection.execute(query).fetchall()}

    @asynccontextmanager
    async def round(self, *, broken: str = "", **limits: int) -> AsyncIterator[Round]:
        """Give an organisation of the test's own; its books are closed and checked when the block ends.

        `limits` are quotas by metric, for each user (CONCURRENT_EXECUTIONS) or the organisation (TOKENS). `broken` is
        the promise that a test broke on purpose.
        """
        async with people_of(self.suite.url, self.suite.token) as people:
            acme = await patiently(people.founder)
            for metric, limit in limits.items():
                level = "USER" if metric == "CONCURRENT_EXECUTIONS" else "ORGANIZATION"
                quota = {"level": level, "metric": metric, "limit": str(limit)}
                await acme.call("PUT", "/v1/quotas", quota | ({} if level == "USER" else {"window": "TOTAL"}))
            one = Round(self, acme)
            await one.until_attached()
            sampling = asyncio.create_task(one.sample())
            try:
                yield one
            finally:
                sampling.cancel()
                await asyncio.gather(sampling, return_exceptions=True)
            await one.settled()
            violations = await one.violations()
            assert {violation.split()[0] for violation in violations} == ({broken} if broken else set()), violations


class Round:
    """One organisation and its books."""

    def __init__(self, arena: Arena, acme: Rest) -> None:
        self.arena = arena
        self.acme = acme
        self.books = Books()
        self.client = Client(acme, self.books)
        self.ledger = Ledger(arena.database_url, acme.organization_id)
        self._begun = time.time()

    async def sample(self) -> None:
        """Look into the database, again and again, until cancelled."""
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self.books.samples.append(await asyncio.to_thread(self.ledger.sample))
            await asyncio.sleep(_LOOK)

    async def until(self, what: str, holds: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE) -> None:
        """Poll until something holds."""
        deadline = time.monotonic() + seconds
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            assert time.monotonic() < deadline, f"it never came to pass that {what}"
            await asyncio.sleep(0.02)

    async def until_attached(self) -> None:
        """Poll until all workers are attached, and no others."""
        await self.until(f"{WORKERS} workers are attached", lambda: len(self.arena.sessions()) == WORKERS)

    async def until_running(self, count: int) -> None:
        """Poll until so many executions are held by workers."""

        async def running() -> bool:
            listed = await patiently(lambda: self.acme.get("/v1/executions", filter="status=RUNNING", pageSize=1_000))
            return len(listed["executions"]) >= count

        await self.until(f"{count} executions run", running)

    async def takeovers(self, since: float) -> list[float]:
        """Seconds from a moment until each execution that lost its worker was taken up again."""
        found = []
        for row in await asyncio.to_thread(self.ledger.rows):
            lost = [entry.sequence for entry in row.journal if entry.kind == "execution.recovered"]
            again = [e.at for e in row.journal if e.kind == "execution.started" and lost and e.sequence > lost[0]]
            found += [again[0] - since] if again else []
        return found

    async def holder(self, execution_id: str) -> psutil.Process:
        """The worker that took an execution up last, once one has."""
        names: list[str] = []
        while not names:
            logs = (await self.acme.get(f"/v1/executions/{execution_id}/logs"))["logs"]
            names = [line["metadata"]["worker"] for line in logs if "attempt" in line.get("metadata", {})]
        return psutil.Process(int(names[-1].rpartition("-")[2]))

    async def settled(self) -> None:
        """Wait until everything has ended and is settled, and every service works again."""
        for execution_id in list(self.books.told):
            await self.client.ended(execution_id)
        await self.until("every service works again", self._operate)
        for _ in range(5):
            await self._operate()
        await self.until("nothing is left to settle or to tell", self._nothing_left)

    async def violations(self, ledger: Ledger | None = None) -> list[str]:
        """Close the books and have them checked; `ledger` is another reader of PostgreSQL's."""
        ledger = ledger or self.ledger
        self.books.rows = await asyncio.to_thread(ledger.rows)
        self.books.left = await asyncio.to_thread(ledger.left)
        keys = {entry.key for row in self.books.rows for entry in row.journal if entry.key}
        everything = [*self.arena.keyed.attempts, *self.arena.plain.attempts, *self.arena.false.attempts]
        self.books.attempts = [attempt for attempt in everything if attempt.key in keys or attempt.at > self._begun]
        return check(self.books)

    def _nothing_left(self) -> bool:
        return self.ledger.left() == Left()

    async def _operate(self) -> bool:
        """Ask something of every service, note what came of it, and return whether all went well."""
        acme, agent, before = self.acme, "", len(self.books.afterwards)

        async def one(service: str, operation: Callable[[], Awaitable[object]]) -> None:
            try:
                await operation()
            except Exception:  # noqa: BLE001 - whatever fails is what is noted
                self.books.afterwards.append((service, False))
            else:
                self.books.afterwards.append((service, True))

        async def create() -> None:
            nonlocal agent
            agent = (await acme.post("/v1/agents", scripted(say("Hi."))))["id"]

        async def execute() -> None:
            done = await acme.run(agent)
            self.books.told[done["id"]] = done["status"]
            assert done["status"] == "COMPLETED", done

        await one("access", lambda: acme.get("/v1/caller"))
        await one("agent", create)
        await one("version", lambda: acme.post(f"/v1/agents/{agent}/versions/draft/publish"))
        await one("execution and worker", execute)
        await one("quota", lambda: acme.get("/v1/usage"))
        return all(good for _, good in self.books.afterwards[before:])
