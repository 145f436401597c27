"""How calls of models fail: one table for every provider.

Owns which failure gets which code and which of them may succeed when tried again.
"""

from __future__ import annotations

from services.worker.core.entries import Failure
from services.worker.models.contract import ModelError

_LONGEST = 500

CUT_OFF = "cut_off"
MALFORMED = "malformed"
CONNECTION = "connection"
TIMEOUT = "timeout_error"

# What went wrong: (code, whether trying again may help, what is said).
_TABLE: dict[int | str, tuple[str, bool, str]] = {
    400: ("MODEL_REQUEST_REJECTED", False, "The model provider rejected the request"),
    401: ("MODEL_AUTHENTICATION_FAILED", False, "The model provider refused the API key; check it where workers run"),
    402: ("MODEL_BILLING_FAILED", False, "The model provider wants its bill paid"),
    403: ("MODEL_PERMISSION_DENIED", False, "The API key may not use this model"),
    404: ("MODEL_NOT_AVAILABLE", False, "The model provider does not know this model; check its name"),
    408: ("MODEL_TIMEOUT", True, "The model provider did not answer in time"),
    409: ("MODEL_UNAVAILABLE", True, "The model provider reported a conflict"),
    413: ("MODEL_REQUEST_TOO_LARGE", False, "The conversation is too large for the model provider"),
    429: ("MODEL_RATE_LIMITED", True, "The model provider limits the rate of requests"),
    500: ("MODEL_UNAVAILABLE", True, "The model provider has a fault"),
    504: ("MODEL_TIMEOUT", True, "The model provider did not answer in time"),
    529: ("MODEL_OVERLOADED", True, "The model provider is overloaded"),
    CONNECTION: ("MODEL_UNAVAILABLE", True, "The model provider cannot be reached"),
    CUT_OFF: ("MODEL_UNAVAILABLE", True, "The model provider broke off in the middle of an answer"),
    MALFORMED: ("MODEL_UNAVAILABLE", True, "The model provider sent something that cannot be read"),
}
_TYPES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    TIMEOUT: 504,
    "gateway_timeout_error": 504,
    "overloaded_error": 529,
}


def model_error(*, status: int = 0, kind: str = "", message: str = "", retry_after: float | None = None) -> ModelError:
    """The error for an HTTP status, a provider's error type, or one of the names above. The type says more."""
    code, transient, words = _TABLE[_row(status, kind)]
    said = " ".join(message.split())[:_LONGEST]
    text = f"{words}: {said}" if said else f"{words}."
    return ModelError(Failure(code, text, retryable=transient), retry_after=retry_after)


def unusable(code: str, message: str) -> ModelError:
    """The error for a call that could not even be made. Trying again does not help."""
    return ModelError(Failure(code, message))


def _row(status: int, kind: str) -> int | str:
    if kind in _TABLE:
        return kind
    known = _TYPES.get(kind, status)
    if known in _TABLE:
        return known
    return 500 if known >= 500 or known < 400 else 400
