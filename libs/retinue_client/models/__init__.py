"""What the suite answers with, as plain data.

Owns the shapes: frozen, with the names of the protos, texts where the protos have enums, seconds where they have
durations. Nothing here calls anybody.
"""

from retinue_client.models.accounts import (
    Caller,
    GroupBy,
    NewToken,
    Organization,
    Quota,
    Role,
    Token,
    UsageEntry,
    UsageReport,
    User,
    UserKind,
)
from retinue_client.models.agents import AgentSpec, AgentVersion, Finding, Json, TriggerMode, VersionStatus, Visibility
from retinue_client.models.executions import (
    ENDED,
    Chunk,
    Event,
    Execution,
    Failure,
    Level,
    LogEntry,
    Priority,
    Status,
    Step,
    StepKind,
    StepStatus,
    Usage,
)

__all__ = [
    "ENDED",
    "AgentSpec",
    "AgentVersion",
    "Caller",
    "Chunk",
    "Event",
    "Execution",
    "Failure",
    "Finding",
    "GroupBy",
    "Json",
    "Level",
    "LogEntry",
    "NewToken",
    "Organization",
    "Priority",
    "Quota",
    "Role",
    "Status",
    "Step",
    "StepKind",
    "StepStatus",
    "Token",
    "TriggerMode",
    "Usage",
    "UsageEntry",
    "UsageReport",
    "User",
    "UserKind",
    "VersionStatus",
    "Visibility",
]
