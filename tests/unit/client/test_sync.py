"""The face without await: one loop behind it, nothing left of it, and types that say what the methods are."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import CancelledError
from dataclasses import dataclass

import pytest

import retinue_client
from retinue_client import agents, client, executions, sync, sync_types, versions
from retinue_client.portal import Face, Portal, face


@dataclass(frozen=True)
class Thing:
    name: str

    async def twice(self, other: Thing | None = None) -> Thing:
        return Thing(self.name * 2 if other is None else self.name + other.name)

    async def where(self) -> str:
        return threading.current_thread().name

    async def fail(self) -> None:
        raise LookupError(self.name)

    async def forever(self) -> None:
        await asyncio.Event().wait()


class Things:
    def __init__(self) -> None:
        self.closed = 0

    async def count(self, most: int) -> AsyncGenerator[Thing, None]:
        try:
            for number in range(most):
                yield Thing(str(number))
        finally:
            self.closed += 1


@face(Thing)
class ThingFace(Face):
    """A thing."""


@face(Things)
class ThingsFace(Face):
    """Many of them."""


@pytest.fixture
def portal() -> Portal:
    return Portal()


def test_methods_block_and_give_faces(portal: Portal) -> None:
    thing = ThingFace(Thing("a"), portal)
    found = thing.twice()
    assert isinstance(found, ThingFace)
    assert (found.name, found) == ("aa", ThingFace(Thing("aa"), portal))
    assert thing.twice(found).name == "aaa"
    assert thing.where() == "retinue"
    with pytest.raises(LookupError):
        thing.fail()
    with pytest.raises(AttributeError):
        _ = thing.other
    portal.close()


def test_iterations_are_plain_and_closed_when_they_are_left(portal: Portal) -> None:
    things = Things()
    faces = ThingsFace(things, portal)
    assert [thing.name for thing in faces.count(3)] == ["0", "1", "2"]
    for thing in faces.count(3):
        assert isinstance(thing, ThingFace)
        break
    gc.collect()
    assert things.closed == 2
    portal.close()


def test_a_closed_portal_leaves_no_thread_and_opens_again(portal: Portal) -> None:
    thing = ThingFace(Thing("a"), portal)
    thing.twice()
    portal.close()
    assert "retinue" not in {thread.name for thread in threading.enumerate()}
    assert thing.twice().name == "aa"
    portal.close()
    portal.close()


def test_a_portal_that_nobody_has_any_more_ends(portal: Portal) -> None:
    left = Portal()
    ThingFace(Thing("a"), left).twice()
    iteration = ThingsFace(Things(), left).count(3)
    next(iteration)
    del left, iteration
    gc.collect()
    assert "retinue" not in {thread.name for thread in threading.enumerate()}


def test_closing_cancels_what_still_runs(portal: Portal) -> None:
    thing, raised = ThingFace(Thing("a"), portal), []
    thing.where()

    def wait() -> None:
        try:
            thing.forever()
        except CancelledError as error:
            raised.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    portal.run(_until_a_task_waits())
    portal.close()
    waiting.join(10)
    assert len(raised) == 1


async def _until_a_task_waits() -> None:
    while len(asyncio.all_tasks()) < 2:
        await asyncio.sleep(0)


def test_the_types_are_those_that_would_be_written() -> None:
    written = sync_types.TARGET.read_text()
    assert written == sync_types.render(), "run `python -m retinue_client.sync_types`"
    assert "async" not in written


@pytest.mark.parametrize(
    ("plain", "asynchronous"),
    [
        (sync.Agent, agents.Agent),
        (sync.Agents, agents.Agents),
        (sync.Versions, versions.Versions),
        (sync.Executions, executions.Executions),
        (sync.Retinue, client.Retinue),
    ],
)
def test_a_face_has_all_methods(plain: type, asynchronous: type) -> None:
    names = {name for name, _ in inspect.getmembers(asynchronous, inspect.isfunction) if not name.startswith("_")}
    assert names <= set(dir(plain))


def test_all_public_names_are_there() -> None:
    assert {name: getattr(retinue_client, name) is not None for name in retinue_client.__all__}
    with pytest.raises(AttributeError):
        _ = retinue_client.other
