"""What an execution answered, so that `result.answer` reads like the signature.

Owns the reading of outputs as attributes. It refuses to exist for an execution that has no output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retinue_client.errors import ExecutionFailedError
from retinue_client.models import Execution, Usage


class Result:
    """The output of an execution.

    Members of an output that is an object are attributes (`result.answer`) and items (`result["answer"]`, for those
    named `output`, `usage` or `execution`); optional ones that the agent left out are None.
    """

    __slots__ = ("_schema", "execution")

    def __init__(self, execution: Execution, output_schema: Mapping[str, Any] | None = None) -> None:
        """Take an execution that has ended. Raises ExecutionFailedError when it ended without an output."""
        if execution.status != "COMPLETED":
            failure = execution.error
            code = failure.code if failure else f"EXECUTION_{execution.status}"
            message = failure.message if failure else f"The execution is {execution.status}."
            raise ExecutionFailedError(code, message, execution)
        self.execution = execution
        self._schema = output_schema

    @property
    def output(self) -> Any:
        """The whole output."""
        return self.execution.output

    @property
    def usage(self) -> Usage:
        """What it used."""
        return self.execution.usage

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(*error.args) from None

    def __getitem__(self, name: str) -> Any:
        output = self.execution.output
        if isinstance(output, Mapping) and name in output:
            return output[name]
        declared = (self._schema or {}).get("properties", {})
        if isinstance(output, Mapping) and name in declared:
            return declared[name].get("default")
        there = ", ".join(sorted(output)) if isinstance(output, Mapping) else "no members: it is not an object"
        raise KeyError(f"The output has no member {name!r}; it has {there}.")

    def __repr__(self) -> str:
        return f"Result({self.execution.output!r})"

    def __str__(self) -> str:
        return str(self.execution.output)
