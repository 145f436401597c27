"""Who is at the door: an API token from the Authorization header, exchanged for a signed identity.

Owns the reading of that header. The exchange and its cache are ``retinue_core.rpc.tokens``; what an
identity may do is decided by the service that is called.
"""

from __future__ import annotations

from retinue_core.errors import RetinueError, unauthenticated
from retinue_core.rpc.tokens import TokenCache
from services.gateway.requests import Request

_HOW = ("Send the header `Authorization: Bearer rtn_…`.",)


class Authenticator:
    """Turns a request into the signed identity of its sender."""

    def __init__(self, tokens: TokenCache) -> None:
        self._tokens = tokens

    async def identity(self, request: Request) -> str:
        """The signed identity; raises RetinueError (UNAUTHENTICATED, or UNAVAILABLE without access)."""
        return await self._tokens.identity(bearer(request.headers.get(b"authorization", b"")))


def bearer(header: bytes) -> str:
    """The token in an Authorization header; raises RetinueError where there is none."""
    scheme, _, token = header.partition(b" ")
    if not header:
        raise _missing("This needs an API token.")
    if scheme.lower() != b"bearer" or not token.strip():
        raise _missing("The Authorization header is not of the form `Bearer rtn_…`.")
    return token.strip().decode("latin-1")


def _missing(message: str) -> RetinueError:
    return unauthenticated(message, code="TOKEN_MISSING", actions=_HOW)
