"""All SQL of the room. Statements on the path of an execution take arrays and are one round trip."""

from services.execution.store.controls import Controls
from services.execution.store.executions import Executions
from services.execution.store.holding import Holding
from services.execution.store.journal import Journals
from services.execution.store.outbox import Outbox

__all__ = ["Controls", "Executions", "Holding", "Journals", "Outbox"]
