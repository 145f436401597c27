"""Resuming from any point of a journal goes on as if nothing had happened."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.worker.core.decide import CallModel, decide
from services.worker.core.entries import Block, Entry, Text, ToolCompleted, ToolDispatched, ToolUse
from services.worker.core.state import apply, begin
from services.worker.core.transcript import canonical_message
from tests.unit.worker.core_script import World, fold, run, say, spec, use


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[Block, ...]]:
    """Some turns that call tools, well or badly, one or several at a time, then a last word."""
    turns: list[tuple[Block, ...]] = []
    for turn in range(draw(st.integers(0, 5))):
        wishes = [_wish(draw, f"c{turn}-{index}") for index in range(draw(st.integers(1, 3)))]
        words = (Text(draw(st.text(max_size=20))),) if draw(st.booleans()) else ()
        turns.append((*words, *wishes))
    return [*turns, say(draw(st.text(max_size=30)))]


def _wish(draw: st.DrawFn, call_id: str) -> ToolUse:
    name = draw(st.sampled_from(["add", "add", "add", "subtract"]))
    return use(call_id, draw(st.sampled_from([1, 13, "x", 2**40])), draw(st.integers(-5, 5)), name)


@settings(deadline=None)
@given(conversations(), st.integers(1, 8), st.data())
def test_every_prefix_of_a_journal_leads_to_the_same_journal(
    answers: list[tuple[Block, ...]], max_steps: int, data: st.DataObject
) -> None:
    what = spec(max_steps=max_steps)
    whole = run(what, World(answers), '"go"')
    cut = data.draw(st.integers(0, len(whole)))
    resumed = run(what, World(answers), '"go"', whole[:cut])
    assert _by_kind(resumed) == _by_kind(whole)
    assert fold(what, '"go"', resumed) == fold(what, '"go"', whole)


@settings(deadline=None)
@given(conversations())
def test_a_request_does_not_depend_on_whether_the_journal_was_replayed(answers: list[tuple[Block, ...]]) -> None:
    what = spec()
    world = World(answers)
    whole = run(what, world, '"go"')
    state = begin('"go"')
    hashes = []
    for entry in whole:
        action = decide(what, state)
        if isinstance(action, CallModel):
            hashes.append(action.request.hash)
        state = apply(what, state, entry)
    assert hashes == [request.hash for request in world.requests]


def test_two_branches_from_one_state_do_not_see_each_other() -> None:
    what = spec()
    world = World([(use("c1", 1, 1),), say("left")])
    state = fold(what, "1", run(what, world, "1")[:2])
    left = apply(what, state, ToolCompleted("c1", "2"))
    right = apply(what, state, ToolCompleted("c1", "3"))
    assert canonical_message(left.transcript.messages[-1]) != canonical_message(right.transcript.messages[-1])
    assert len(state.transcript.messages) == 2


def _by_kind(journal: list[Entry]) -> list[Entry]:
    """A journal without the order in which parallel calls were dispatched and answered."""
    return sorted(journal, key=lambda entry: (isinstance(entry, ToolDispatched), repr(entry)))
