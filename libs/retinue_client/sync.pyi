# The client without `await`. Written by `python -m retinue_client.sync_types`; do not edit.
from collections.abc import Iterator
from collections.abc import Iterable
from collections.abc import Mapping
from datetime import datetime
from datetime import timedelta
from retinue_client.executions import Options
from retinue_client.models import AgentVersion
from retinue_client.models import Caller
from retinue_client.models import Event
from retinue_client.models import Execution
from retinue_client.models import Finding
from retinue_client.models import GroupBy
from retinue_client.models import Json
from retinue_client.models import Level
from retinue_client.models import LogEntry
from retinue_client.models import NewToken
from retinue_client.models import Quota
from retinue_client.models import Status
from retinue_client.models import Step
from retinue_client.models import Token
from retinue_client.models import TriggerMode
from retinue_client.models import UsageReport
from retinue_client.models import Visibility
from retinue_client.result import Result
from retinue_client.settings import Connection
from retinue_client.signatures import Signature
from retinue_client.writing import AgentFields
from types import TracebackType
from typing import Self
from typing import Unpack
class Agent:
    id: str
    name: str
    description: str
    instructions: str
    model: str
    tools: tuple[str, ...]
    input_schema: dict[str, Json] | None
    output_schema: dict[str, Json] | None
    max_steps: int
    timeout: float | None
    max_retries: int | None
    model_settings: dict[str, Json] | None
    department: str
    project: str
    tags: tuple[str, ...]
    metadata: dict[str, Json] | None
    visibility: Visibility
    trigger_mode: TriggerMode
    trigger_config: dict[str, Json] | None
    active: bool | None
    current_version: str
    draft_version: str
    etag: str
    organization_id: str
    created_by: str
    created_at: datetime | None
    updated_at: datetime | None

    @property
    def signature(self) -> Signature | None:
        """The signature behind its schemas; None where a signature cannot say what they say."""
        ...

    def execute(self, input: Json=..., /, **fields: Json) -> Result:
        """Run it and wait for its answer. The input is either one value or the members of an object.

        Raises ExecutionFailedError when it ends without an output. `client.executions.run` takes options too.
        """
        ...

    def publish(self, changelog: str='') -> AgentVersion:
        """Freeze its draft as the version that runs."""
        ...
class Agents:

    def create(self, *, signature: str | Signature | None=None, **fields: Unpack[AgentFields]) -> Agent:
        """Create an agent with a first draft; it needs a `name` and a `model`. `signature` stands for both schemas.

        Raises INVALID_AGENT_CONFIG with everything that is wrong, and DUPLICATE_AGENT_NAME.
        """
        ...

    def get(self, agent: str) -> Agent:
        """Read an agent by its id or its name. Raises AGENT_NOT_FOUND."""
        ...

    def list(self, *, filter: str='', order_by: str='', page_size: int=0) -> Iterator[Agent]:
        """Iterate over the agents that you may see, page after page.

        `filter` is like `department=sales AND name:report`; `order_by` is `name`, `created_at` or `updated_at`, with
        ` desc` behind it for the reverse.
        """
        ...

    def update(self, agent: Agent | str, *, signature: str | Signature | None=None, **fields: Unpack[AgentFields]) -> Agent:
        """Change the fields that are named; None takes a field back to its default.

        With `etag`, only if nobody else has changed the agent since it was read.
        """
        ...

    def ensure(self, *, signature: str | Signature | None=None, **fields: Unpack[AgentFields]) -> Agent:
        """Create the agent of this `name`, or change it to what the fields say; the same again changes nothing."""
        ...

    def delete(self, agent: Agent | str) -> None:
        """Delete an agent; its executions stay readable."""
        ...

    def validate(self, *, signature: str | Signature | None=None, **fields: Unpack[AgentFields]) -> tuple[Finding, ...]:
        """Check a definition and save nothing; returns what is wrong with it."""
        ...

    def id_of(self, agent: Agent | str) -> str:
        """The id of an agent that is named by itself, by its id or by its name. Raises AGENT_NOT_FOUND."""
        ...
class Versions:

    def publish(self, agent: Agent | str, version: str=..., *, changelog: str='') -> AgentVersion:
        """Freeze the draft under its number and make it the version that runs. Once more changes nothing."""
        ...

    def create(self, agent: Agent | str, version: str='', *, changelog: str='', start: str='') -> AgentVersion:
        """Open a new draft from a frozen version: `start`, or the one that runs. `version` is the number it gets."""
        ...

    def get(self, agent: Agent | str, version: str) -> AgentVersion:
        """Read a version by its number; `draft` names the draft. Raises VERSION_NOT_FOUND."""
        ...

    def list(self, agent: Agent | str, *, page_size: int=0) -> Iterator[AgentVersion]:
        """Iterate over the versions of an agent: the draft first, then the newest."""
        ...
class Executions:

    def create(self, agent: Agent | str, input: Json=None, *, wait: float | timedelta=0, **options: Unpack[Options]) -> Execution:
        """Start an execution; returns it as accepted, or after `wait` seconds at most as it is then."""
        ...

    def run(self, agent: Agent | str, input: Json=None, **options: Unpack[Options]) -> Result:
        """Start an execution and wait for its answer. Raises ExecutionFailedError when it ends without one."""
        ...

    def wait(self, execution: Execution | str) -> Execution:
        """Wait for the end of an execution, however long that takes."""
        ...

    def get(self, execution: Execution | str) -> Execution:
        """Read an execution. Raises EXECUTION_NOT_FOUND."""
        ...

    def list(self, agent: Agent | str='', *, status: Status | str='', filter: str='', order_by: str='', page_size: int=0) -> Iterator[Execution]:
        """Iterate over executions, the newest first. `filter` is like `project_id=p AND priority=HIGH`."""
        ...

    def cancel(self, execution: Execution | str, reason: str='') -> Execution:
        """Stop an execution. Once more changes nothing; one that has ended otherwise raises EXECUTION_ENDED."""
        ...

    def steps(self, execution: Execution | str) -> Iterator[Step]:
        """Iterate over the steps of an execution, in their order."""
        ...

    def logs(self, execution: Execution | str, *, level: Level='DEBUG') -> Iterator[LogEntry]:
        """Iterate over the log of an execution: the lines that are at least as serious as `level`."""
        ...

    def watch(self, execution: Execution | str, *, after: int=0, patience: float=...) -> Iterator[Event]:
        """Iterate over what happened behind a sequence and then over what happens, until the execution has ended.

        A connection that breaks is opened again by itself, without gap and without repeat; after `patience` seconds
        without any answer, that is an error.
        """
        ...
class Tokens:

    def create(self, name: str, *, scopes: Iterable[str]=..., expires_at: datetime | None=None, user_id: str='') -> NewToken:
        """Make a token. Without `scopes` it may do all that its user may; without `user_id` it is the caller's."""
        ...

    def list(self, *, page_size: int=0) -> Iterator[Token]:
        """Iterate over the caller's tokens, or over all of the organisation for its administrators."""
        ...

    def revoke(self, token: Token | str) -> None:
        """End a token. Once more changes nothing."""
        ...
class Retinue:
    agents: Agents
    versions: Versions
    executions: Executions
    tokens: Tokens

    def __init__(self, address: str | Mapping[str, str] | Connection, token: str='', *, ca: str='') -> None:
        """Take the address (`host:port`, or `https://host:port` for TLS) of all services, or of each by its name.

        `token` is an API token, `ca` a PEM file with the authorities to trust. Nothing is connected yet.
        """
        ...

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None=None) -> Self:
        """Find the suite: RETINUE_… in the environment, a profile of `retinue login`, or `.retinue/dev.env` here."""
        ...

    def whoami(self) -> Caller:
        """Ask who the token stands for."""
        ...

    def usage(self, *, start: datetime | None=None, end: datetime | None=None, by: GroupBy | None=None) -> UsageReport:
        """Ask what the organisation used between two moments: the last 24 hours unless they are given."""
        ...

    def quotas(self) -> tuple[Quota, ...]:
        """Ask for the quotas that hold."""
        ...

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        ...

    def __enter__(self) -> Self:
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ...
