"""What the agent room has not been told yet of an agent's versions.

Owns the decision what has to be told: each version that was frozen, so that its draft ends, and then which version is
current, unless that follows by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.version.domain.version import Version


@dataclass(frozen=True, slots=True)
class Untold:
    """What is left to tell. `moves` counts how often another version became current, `told` those that were told."""

    agent_id: str
    organization_id: str
    moves: int
    told: int
    current: Version | None
    unrecorded: tuple[Version, ...]

    @property
    def current_must_be_told(self) -> bool:
        """Whether what is current has to be told by itself.

        A version that is recorded becomes current in the agent room, so one publish alone says it all. After more
        than that it does not: an earlier attempt to tell may have come through without our knowing.
        """
        if self.current is None or self.told == self.moves:
            return False
        alone = self.moves - self.told == 1 and len(self.unrecorded) == 1
        return not (alone and self.unrecorded[0].id == self.current.id)
