"""The public Python client of Retinue, and the `retinue` command.

`Retinue` is asynchronous; `retinue_client.sync.Retinue` is the same without `await`. Names are imported when they are
first asked for, so that the command line is quick where it needs no client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retinue_client.agents import Agent
    from retinue_client.client import Retinue
    from retinue_client.errors import ExecutionFailedError, RetinueError
    from retinue_client.models import AgentVersion, Event, Execution, Step, Usage
    from retinue_client.result import Result
    from retinue_client.signatures import Signature, signature

__all__ = [
    "Agent",
    "AgentVersion",
    "Event",
    "Execution",
    "ExecutionFailedError",
    "Result",
    "Retinue",
    "RetinueError",
    "Signature",
    "Step",
    "Usage",
    "signature",
]

_PLACES = {
    "Agent": "agents",
    "ExecutionFailedError": "errors",
    "Result": "result",
    "Retinue": "client",
    "RetinueError": "errors",
    "Signature": "signatures",
    "signature": "signatures",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES.get(name, 'models')}"), name)
