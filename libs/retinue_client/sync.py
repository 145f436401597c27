"""The same client without `await`: every method blocks until its answer is there, every stream is a plain iterator.

Owns which classes have such a face. Their methods are those of the asynchronous classes; their types are in
`sync.pyi`, which `python -m retinue_client.sync_types` writes from the source of those classes.
"""

from __future__ import annotations

from typing import Any, Self

from retinue_client import agents, client, executions, versions
from retinue_client.account import Tokens as _Tokens
from retinue_client.portal import Face, Portal, face


@face(agents.Agent)
class Agent(Face):
    """An agent as it was read, which runs when it is told to."""


@face(agents.Agents)
class Agents(Face):
    """`client.agents`."""


@face(versions.Versions)
class Versions(Face):
    """`client.versions`."""


@face(executions.Executions)
class Executions(Face):
    """`client.executions`."""


@face(_Tokens)
class Tokens(Face):
    """`client.tokens`."""


@face(client.Retinue)
class Retinue(Face):
    """A suite, as its caller sees it. Close it, or use it as a context manager. Threads may share it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take what the asynchronous `Retinue` takes."""
        super().__init__(client.Retinue(*arguments, **named), Portal())

    @classmethod
    def from_env(cls, *arguments: Any, **named: Any) -> Self:
        """Find the suite: RETINUE_… in the environment, a profile of `retinue login`, or `.retinue/dev.env` here."""
        made = cls.__new__(cls)
        Face.__init__(made, client.Retinue.from_env(*arguments, **named), Portal())
        return made

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._portal.run(self._inner.close())
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
