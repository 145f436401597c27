"""Drafts and versions through any order of edits, publishes, crashes and late records: nothing is lost."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime

import semver
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from retinue_core.errors import RetinueError
from retinue_core.identity import Identity
from services.agent.domain.agent import Agent, Definition, Spec, draft_opened, merged, published, updated
from services.version import domain
from services.version.domain import Head, Version

NOW = datetime(2026, 11, 20, tzinfo=UTC)
OWNER = Identity("o", "owner")
TEXTS = st.sampled_from(["a", "b", "c"])


class Life(RuleBasedStateMachine):
    """The two rooms as their pure parts; what passes between them may be late, doubled or out of order."""

    heads = Bundle("heads")
    records = Bundle("records")

    def __init__(self) -> None:
        super().__init__()
        self.agent = Agent("a", "o", "owner", Definition("n", spec=Spec(model="scripted")), NOW, NOW)
        self.frozen: list[Version] = []
        self.untold: list[Version] = []

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

    @rule(head=heads, by_number=st.booleans(), target=records)
    def publish(self, head: Head, by_number: bool) -> Version | None:
        number = head.draft_version
        candidate = domain.candidate(head, None, f"v{len(self.frozen)}", "", OWNER, NOW)
        asked = number if by_number and number else domain.DRAFT
        there = self._numbered(number) if number else self._like(candidate.digest)
        try:
            made = domain.published(candidate, asked, there, self.frozen[-1] if self.frozen else None)
        except RetinueError:
            return None
        if made is there:
            return made
        self.frozen.append(made)
        self.untold.append(made)
        return made

    @rule(version=consumes(records), again=st.booleans())
    def record(self, version: Version | None, again: bool) -> None:
        for _ in range(1 + again):
            if version is not None:
                self._record(version)

    @rule(number=st.sampled_from(["", "2.0.0-rc.1", "2.0.0", "3.1.4"]), at=st.integers(0, 5))
    def open(self, number: str, at: int) -> None:
        if not self.frozen:
            return
        source = self.frozen[at % len(self.frozen)]
        before = self.agent
        try:
            chosen = domain.next_number(number, self.frozen[-1])
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
    def once_all_is_told_both_rooms_agree(self) -> None:
        settled = self.agent
        for version in self.untold:
            settled = published(settled, version.version, version.frozen_etag, NOW)
        if self.frozen:
            newest = self.frozen[-1].version
            assert settled.current_version == settled.latest_version == newest
            if settled.draft_version:
                assert semver.Version.parse(settled.draft_version) > semver.Version.parse(newest)
        told_again = settled
        for version in self.frozen:
            told_again = published(told_again, version.version, version.frozen_etag, NOW)
        assert replace(told_again, updated_at=NOW) == settled

    def _record(self, version: Version) -> None:
        self.agent = published(self.agent, version.version, version.frozen_etag, NOW)
        self.untold = [other for other in self.untold if other.id != version.id]

    def _numbered(self, number: str) -> Version | None:
        return next((version for version in self.frozen if version.version == number), None)

    def _like(self, digest: str) -> Version | None:
        return next((version for version in reversed(self.frozen) if version.digest == digest), None)


TestLife = Life.TestCase
