"""Claude models, by Anthropic's official SDK.

Owns the client and how its errors become ours. The SDK's own retries are off: the runner retries, so that every try
is bounded by the execution's time and seen in its journal. The SDK is imported at the first call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from services.worker.core.entries import Usage
from services.worker.core.spec import ModelRequest
from services.worker.models.anthropic_wire import Answer, max_tokens, to_params
from services.worker.models.contract import Bound, Delta, ModelError, Result
from services.worker.models.failures import CONNECTION, CUT_OFF, MALFORMED, TIMEOUT, model_error, unusable
from services.worker.models.prices import PRICES, Price, PriceTable, cost_micros, most_micros

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

NAME = "anthropic"

# English has about four bytes to a token; two leave room for other languages and for data.
_BYTES_PER_TOKEN = 2
_OVERHEAD = 1000  # tokens that the provider itself adds to a prompt with tools


class Anthropic:
    """An account with the provider. `silence` is how many seconds a stream may say nothing."""

    def __init__(
        self, api_key: str, *, base_url: str = "", prices: PriceTable = PRICES, silence: float = 120.0
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._silence = silence
        self._client: AsyncAnthropic | None = None
        self._making = asyncio.Lock()
        self.prices = prices

    def model(self, name: str) -> Claude:
        """A model by its name, with or without `anthropic/` before it. Raises ModelError (MODEL_NOT_AVAILABLE)."""
        model = name.removeprefix("anthropic/").replace(".", "-")
        price = self.prices.find(model)
        if price is None:
            message = (
                f"The model {name!r} is not in the price table {self.prices.version}, so its cost cannot be bounded. "
                f"Use one of {', '.join(self.prices.prices)}, or give the workers a table with it (RETINUE_PRICES)."
            )
            raise unusable("MODEL_NOT_AVAILABLE", message)
        return Claude(self, model, price)

    async def client(self) -> AsyncAnthropic:
        """The SDK's client, made at the first use: in a thread, because importing the SDK takes seconds."""
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make)
        return self._client

    def _make(self) -> AsyncAnthropic:
        import httpx2
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(
            api_key=self._api_key,
            base_url=self._base_url or None,
            max_retries=0,
            timeout=httpx2.Timeout(self._silence, connect=min(10.0, self._silence)),
            open_telemetry=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


class Claude:
    """One model of the provider."""

    name = NAME

    def __init__(self, account: Anthropic, model: str, price: Price) -> None:
        self._account = account
        self._model = model
        self._price = price

    def bound(self, request: ModelRequest) -> Bound:
        """The most that a call can use: what was measured, what is new at two bytes a token, and a whole answer."""
        new = -(-request.unmeasured_bytes // _BYTES_PER_TOKEN)
        prompt = request.measured_tokens + new + (0 if request.measured_tokens else _OVERHEAD)
        answer = max_tokens(request.settings)
        return Bound(prompt + answer, most_micros(self._price, prompt, answer))

    async def stream(self, request: ModelRequest, attempt: int) -> AsyncGenerator[Delta | Result, None]:
        """Ask the model."""
        answer = Answer()
        try:
            async with self._events(to_params(request, self._model)) as events:
                async for event in events:
                    delta = answer.take(event)
                    if delta is not None:
                        yield delta
            content = answer.content()
        except ModelError as error:
            error.usage = self._usage(answer)
            raise
        usage = self._usage(answer)
        yield Result(answer.model, content, answer.stop_reason, usage, self._account.prices.version)

    @asynccontextmanager
    async def _events(self, params: dict[str, Any]) -> AsyncIterator[AsyncIterator[Any]]:
        client = await self._account.client()
        import anthropic
        import httpx2

        try:
            async with await client.messages.create(**params, stream=True) as stream:
                yield aiter(stream)
        except anthropic.APIStatusError as error:
            raise _status_error(error) from None
        except anthropic.APITimeoutError:
            raise model_error(kind=TIMEOUT) from None
        except anthropic.APIConnectionError:
            raise model_error(kind=CONNECTION) from None
        except httpx2.TimeoutException:
            raise model_error(kind=TIMEOUT) from None
        except httpx2.TransportError:
            raise model_error(kind=CUT_OFF) from None
        except (anthropic.APIResponseValidationError, ValueError) as error:
            raise model_error(kind=MALFORMED, message=type(error).__name__) from None

    def _usage(self, answer: Answer) -> Usage:
        counted = answer.counted
        usage = Usage(
            input_tokens=counted.input + counted.cache_read + counted.cache_write,
            output_tokens=counted.output,
            cache_read_tokens=counted.cache_read,
            cache_write_tokens=counted.cache_write,
        )
        cost = cost_micros(self._price, usage, one_hour_writes=counted.cache_write_1h)
        return Usage(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            cost_micros=cost,
        )


def _status_error(error: Any) -> ModelError:
    """The SDK's error for an HTTP status, or for an error event in the middle of a stream."""
    return model_error(
        status=error.status_code,
        kind=str(error.type or ""),
        message=str(error.api_message or ""),
        retry_after=_seconds(error.response.headers.get("retry-after")),
    )


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 86_400 else None
