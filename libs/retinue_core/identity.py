"""Who is calling: signed identities, how they are made, checked and weighed.

Owns the identity that travels between services: a compact JWT signed with Ed25519 (RFC 7519, RFC 8037), short-lived
and verified by every service by itself. It refuses an identity of a person that was not signed by access, and an
identity of a service that was not signed by that very service.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from retinue_core.errors import unauthenticated

ISSUER_OF_PEOPLE = "access"
# Services that act for people in the background. A worker runs other people's programs and the gateway only passes
# on what it was given, so neither may read or write a tenant's things by its own identity.
_TRUSTED = frozenset({"access", "agent", "version", "execution", "quota"})
_ALGORITHM = "Ed25519"
_CACHED = 10_000
_LONGEST_TOKEN = 8_192
_EARLY = 30.0  # seconds before its end at which a cached signature is made anew


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts, for which organisation, and what that allows.

    `kind` is `user`, `service_account` or `service`; the subject of a service is its name. `admin` stands for every
    scope of the organisation.
    """

    organization_id: str
    subject: str
    kind: str = "user"
    scopes: frozenset[str] = frozenset()
    teams: tuple[str, ...] = ()
    admin: bool = False

    @property
    def is_service(self) -> bool:
        """Whether it is a service of the suite itself."""
        return self.kind == "service"

    @property
    def is_trusted(self) -> bool:
        """Whether it is a service that may read and write a tenant's things by its own identity."""
        return self.is_service and self.subject in _TRUSTED

    def has(self, scope: str) -> bool:
        """Say whether it carries a scope. Scopes of the platform are never implied."""
        if scope in self.scopes:
            return True
        return (self.admin or self.is_trusted) and not scope.startswith("platform:")


def may_see(identity: Identity, organization_id: str, owner_id: str, visibility: str) -> bool:
    """Say whether an identity may know of an agent and run it.

    `visibility` is the name of `Agent.Visibility`. What one may not see does not exist for one.
    """
    if identity.organization_id != organization_id:
        return visibility == "PUBLIC"
    if identity.admin or identity.is_trusted or identity.subject == owner_id:
        return True
    return visibility in ("ORGANIZATION", "PUBLIC")


def may_change(identity: Identity, organization_id: str, owner_id: str) -> bool:
    """Say whether an identity may change an agent."""
    if identity.organization_id != organization_id:
        return False
    return identity.admin or identity.is_trusted or identity.subject == owner_id


class Signer:
    """Signs identities with the private key of one service."""

    def __init__(self, issuer: str, key: jwk.OKPKey, *, now: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self._key = key
        self._now = now
        self._own: OrderedDict[str, tuple[str, float]] = OrderedDict()

    @classmethod
    def read(cls, issuer: str, path: Path) -> Signer:
        """Read the key from a PEM file."""
        return cls(issuer, jwk.OKPKey.import_key(path.read_bytes()))

    def sign(self, identity: Identity, seconds: float) -> str:
        """Sign an identity that is valid for some seconds."""
        now = self._now()
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": identity.subject,
            "org": identity.organization_id,
            "kind": identity.kind,
            "scopes": sorted(identity.scopes),
            "teams": list(identity.teams),
            "admin": identity.admin,
            "iat": int(now),
            "exp": int(now + seconds),
        }
        return jwt.encode({"alg": _ALGORITHM, "kid": self.issuer}, claims, self._key, algorithms=[_ALGORITHM])

    def own(self, organization_id: str = "") -> str:
        """The service's own identity, for an organisation or for none; signed anew only when it must be."""
        token, ends = self._own.get(organization_id, ("", 0.0))
        if ends < self._now() + _EARLY:
            identity = Identity(organization_id, self.issuer, kind="service")
            token, ends = self.sign(identity, 300), self._now() + 300
            self._own[organization_id] = (token, ends)
            if len(self._own) > _CACHED:
                self._own.popitem(last=False)
        return token


class Verifier:
    """Verifies identities with the public keys of all services. Verified ones are remembered until they end."""

    def __init__(self, keys: jwk.KeySet, *, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now
        self._known: OrderedDict[str, tuple[Identity, float]] = OrderedDict()

    @classmethod
    def read(cls, path: Path) -> Verifier:
        """Read the public keys from a JWKS file; the key id is the name of the service."""
        return cls(jwk.KeySet.import_key_set(json.loads(path.read_text("utf-8"))))

    def verify(self, token: str) -> Identity:
        """Return the identity behind a signed token. Raises UNAUTHENTICATED."""
        known = self._known.get(token)
        if known is None:
            known = self._decode(token)
            self._known[token] = known
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        identity, ends = known
        if self._now() >= ends:
            del self._known[token]
            raise unauthenticated("The identity is no longer valid.", code="IDENTITY_EXPIRED")
        return identity

    def _decode(self, token: str) -> tuple[Identity, float]:
        if len(token) > _LONGEST_TOKEN:
            raise unauthenticated("The identity is not one that this suite signed.")
        try:
            decoded = jwt.decode(token, self._keys, algorithms=[_ALGORITHM])
            signer, issuer = decoded.header["kid"], decoded.claims["iss"]
            identity, ends = _read(decoded.claims)
        except (JoseError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise unauthenticated("The identity is not one that this suite signed.") from None
        if signer != issuer or not _may_vouch(issuer, identity):
            raise unauthenticated("The identity was signed by a service that may not vouch for it.")
        return identity, ends


def _read(claims: dict[str, Any]) -> tuple[Identity, float]:
    identity = Identity(
        organization_id=_text(claims["org"]),
        subject=_text(claims["sub"]),
        kind=_text(claims["kind"]),
        scopes=frozenset(map(_text, claims["scopes"])),
        teams=tuple(map(_text, claims["teams"])),
        admin=claims["admin"] is True,
    )
    return identity, float(claims["exp"])


def _text(claim: object) -> str:
    if not isinstance(claim, str):
        raise TypeError
    return claim


def _may_vouch(signer: str, identity: Identity) -> bool:
    if identity.is_service:
        return identity.subject == signer
    return signer == ISSUER_OF_PEOPLE


def generate_key() -> jwk.OKPKey:
    """Make a new Ed25519 key."""
    return jwk.OKPKey.generate_key("Ed25519")


def key_set(public: dict[str, jwk.OKPKey]) -> dict[str, Any]:
    """Build the JWKS document of all services from their keys by name; it holds public parts only."""
    return {"keys": [key.as_dict(private=False) | {"kid": name} for name, key in public.items()]}
