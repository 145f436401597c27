"""The public Python client of Retinue, and the `retinue` command.

`Retinue` is asynchronous; `retinue_client.sync.Retinue` is the same without `await`.
"""

from retinue_client.agents import Agent
from retinue_client.client import Retinue
from retinue_client.errors import RetinueError
from retinue_client.models import AgentVersion, Event, Execution, Step, Usage
from retinue_client.result import Result
from retinue_client.signature import Signature, signature

__all__ = [
    "Agent",
    "AgentVersion",
    "Event",
    "Execution",
    "Result",
    "Retinue",
    "RetinueError",
    "Signature",
    "Step",
    "Usage",
    "signature",
]
