"""Drafts and versions through any order of actions, crashes and repeated records: nothing is lost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Literal

import semver
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from retinue_core.errors import RetinueError
from retinue_core.identity import Identity
from services.agent.domain.agent import Agent, Definition, Spec, draft_opened, merged, published, updated
from services.version.domain import life
from services.version.domain.life import Action, Change, Event, Found
from services.version.domain.numbers import next_number
from services.version.domain.telling import Untold
from services.version.domain.version import DRAFT, Head, Version, candidate

NOW = datetime(2026, 11, 20, tzinfo=UTC)
OWNER = Identity("o", "owner")
TEXTS = st.sampled_from(["a", "b", "c"])
ORDER = ["DRAFT", "PUBLISHED", "DEPRECATED", "ARCHIVED"]


class Life(RuleBasedStateMachine):
    """The two rooms as their pure parts; telling one from the other may be cut off, or come through unnoticed."""

    heads = Bundle("heads")

    def __init__(self) -> None:
        super().__init__()
        self.agent = Agent("a", "o", "owner", Definition("n", spec=Spec(model="scripted")), NOW, NOW)
        self.frozen: list[Version] = []
        self.current = ""
        self.moves = self.told = 0
        self.unrecorded: set[str] = set()
        self.events: list[Event] = []

    @rule(text=TEXTS)
    def edit(self, text: str) -> None:
        definition = merged(self.agent.definition, {"instructions": text})
        self.agent = updated(self.agent, definition, "", NOW)

    @rule(text=TEXTS)
    def rename(self, text: str) -> None:
        self.agent = updated(self.agent, merged(self.agent.definition, {"name": text}), self.agent.etag, NOW)

    @rule(target=heads)
    def read(self) -> Head:
        content = asdict(self.agent.definition.spec)
        return Head("a", "o", "owner", "n", "PRIVATE", True, self.agent.draft_version, self.agent.etag, content)

    @rule(head=heads, by_number=st.booleans())
    def publish(self, head: Head, by_number: bool) -> None:
        number = head.draft_version
        made = candidate(head, None, f"v{len(self.frozen)}", "", OWNER, NOW)
        there = self._numbered(number) if number else self._like(made.digest)
        asked = number if by_number and number else DRAFT
        try:
            change = life.published(made, asked, self._found(there))
        except RetinueError:
            return
        if change.event:
            self.frozen.append(change.version)
            self.unrecorded.add(change.version.id)
            self._keep(change)

    @rule(text=TEXTS, told=st.booleans())
    def release(self, text: str, told: bool) -> None:
        """What mostly happens: an edit is published at once."""
        self.edit(text)
        self.publish(self.read(), by_number=True)
        if told:
            self.tell(calls=10, noticed=True)

    @rule(action=st.sampled_from(["deprecate", "archive", "rollback"]), at=st.integers(0, 5), again=st.booleans())
    def act(self, action: Literal["deprecate", "archive", "rollback"], at: int, again: bool) -> None:
        there = self.frozen[at % len(self.frozen)] if self.frozen else None
        before = [*self.frozen]
        done = Action(there.version if there else "1.0.0", "somebody", "why", NOW)
        for _ in range(1 + again):
            with suppress(RetinueError):
                self._keep(self._decided(action, done, there))
            there = self._numbered(done.asked)
        for one, other in zip(before, self.frozen, strict=True):
            assert one.digest == other.digest
            assert ORDER.index(one.status) <= ORDER.index(other.status)

    @rule(calls=st.integers(0, 4), noticed=st.booleans())
    def tell(self, calls: int, noticed: bool) -> None:
        untold = self._untold()
        wanted = [(version.version, version.frozen_etag) for version in untold.unrecorded]
        if untold.current is not None and untold.current_must_be_told:
            wanted.append((untold.current.version, ""))
        for version, etag in wanted[:calls]:
            self.agent = published(self.agent, version, etag, NOW)
        if noticed and calls >= len(wanted):
            self.told = untold.moves
            self.unrecorded.clear()

    @rule(number=st.sampled_from(["", "2.0.0-rc.1", "2.0.0", "3.1.4"]), at=st.integers(0, 5))
    def open(self, number: str, at: int) -> None:
        if not self.frozen:
            return
        source = self.frozen[at % len(self.frozen)]
        before = self.agent
        try:
            chosen = next_number(number, self.frozen[-1].version)
            self.agent = draft_opened(before, chosen, Spec(**source.content), NOW)
        except RetinueError:
            return
        lost = before.definition.spec != self.agent.definition.spec and before.draft_version and before.draft_edited
        assert not lost

    @invariant()
    def numbers_rise_and_belong_to_one_content_each(self) -> None:
        numbers = [semver.Version.parse(version.version) for version in self.frozen]
        assert numbers == sorted(set(numbers))
        assert [version.ordinal for version in self.frozen] == [*range(1, len(self.frozen) + 1)]

    @invariant()
    def what_is_no_draft_is_frozen(self) -> None:
        if not self.agent.draft_version:
            assert asdict(self.agent.definition.spec) in [version.content for version in self.frozen]

    @invariant()
    def there_is_always_something_to_run(self) -> None:
        if self.frozen:
            current = self._numbered(self.current)
            assert life.runnable(current, "", "a").status in ("PUBLISHED", "DEPRECATED")

    @invariant()
    def history_leads_to_what_is(self) -> None:
        current = ""
        for event in self.events:
            assert event.previous == current
            current = event.version if event.kind in ("PUBLISHED", "ROLLED_BACK") else current
        assert current == self.current

    @invariant()
    def once_all_is_told_both_rooms_agree(self) -> None:
        settled, untold = self.agent, self._untold()
        for version in untold.unrecorded:
            settled = published(settled, version.version, version.frozen_etag, NOW)
        if untold.current is not None and untold.current_must_be_told:
            settled = published(settled, untold.current.version, "", NOW)
        if self.frozen:
            newest = self.frozen[-1].version
            assert (settled.current_version, settled.latest_version) == (self.current, newest)
            if settled.draft_version:
                assert semver.Version.parse(settled.draft_version) > semver.Version.parse(newest)

    def _decided(self, action: str, done: Action, there: Version | None) -> Change:
        if action == "rollback":
            return life.rolled_back(done, self.agent.draft_version, self._found(there))
        return life.retired(action, done, self.agent.draft_version, self._found(there))

    def _keep(self, change: Change) -> None:
        if change.event is None:
            return
        self.events.append(change.event)
        self.frozen = [change.version if one.id == change.version.id else one for one in self.frozen]
        if change.version.current and change.version.version != self.current:
            self.current, self.moves = change.version.version, self.moves + 1
            self.frozen = [replace(one, current=one.version == self.current) for one in self.frozen]

    def _found(self, there: Version | None) -> Found:
        return Found(there, self.frozen[-1] if self.frozen else None, self._numbered(self.current))

    def _untold(self) -> Untold:
        unrecorded = tuple(version for version in self.frozen if version.id in self.unrecorded)
        return Untold("a", "o", self.moves, self.told, self._numbered(self.current), unrecorded)

    def _numbered(self, number: str) -> Version | None:
        return next((version for version in self.frozen if version.version == number), None)

    def _like(self, digest: str) -> Version | None:
        return next((version for version in reversed(self.frozen) if version.digest == digest), None)


TestLife = Life.TestCase
