"""Agent versions, compiled once and kept.

Owns the cache from an agent's definition to what the loop runs. It refuses tools that this worker does not have and
schemas that are none.
"""

from __future__ import annotations

from collections import OrderedDict

from retinue.agent.v1 import agent_pb2
from retinue_core import values
from services.worker.core.entries import Failure
from services.worker.core.schema import SchemaError
from services.worker.core.spec import Spec, compile_spec
from services.worker.tools.catalog import Catalog, declared

_KEPT = 500


class UnusableError(Exception):
    """A definition that this worker cannot run."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


class Specs:
    """Compiled definitions by their serialized form."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._kept: OrderedDict[bytes, Spec] = OrderedDict()

    def find(self, serialized: bytes) -> Spec:
        """The compiled definition. Raises UnusableError."""
        spec = self._kept.get(serialized)
        if spec is None:
            spec = self._kept[serialized] = self._compile(agent_pb2.AgentSpec.FromString(serialized))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return spec

    def _compile(self, spec: agent_pb2.AgentSpec) -> Spec:
        missing = [name for name in spec.tools if name not in self._catalog]
        if missing:
            message = f"No worker has the tool {missing[0]!r}. Tools: {', '.join(sorted(self._catalog))}."
            raise UnusableError("TOOL_NOT_AVAILABLE", message)
        try:
            return compile_spec(
                model=spec.model,
                instructions=spec.instructions,
                tools=[declared(self._catalog[name]) for name in dict.fromkeys(spec.tools)],
                output_schema=values.struct_to_python(spec.output_schema) if spec.HasField("output_schema") else None,
                settings=values.struct_to_python(spec.model_settings),
                max_steps=spec.max_steps,
                max_retries=spec.max_retries,
            )
        except SchemaError as error:
            raise UnusableError("INVALID_AGENT_CONFIG", f"The outputSchema cannot be used: {error}.") from None
