"""Organisations, users and tokens: what they may, what is sound, and who may give what to whom.

Owns roles, scopes and the identity that a token stands for. It reads no clock and makes no secret; both are handed in.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from retinue_core.errors import (
    Problem,
    RetinueError,
    denied,
    exists,
    invalid,
    not_found,
    precondition,
    unauthenticated,
)
from retinue_core.identity import Identity

OPERATOR = "platform:admin"
VIEWER_SCOPES = frozenset(
    f"{room}:read" for room in ("agents", "executions", "organizations", "quotas", "tokens", "tools", "usage", "users")
)
MEMBER_SCOPES = VIEWER_SCOPES | {
    "agents:write",
    "approvals:decide",
    "executions:run",
    "tokens:write",
    "tools:write",
}
ADMIN_SCOPES = MEMBER_SCOPES | {"organizations:write", "quotas:write", "users:write"}
ROLES = {"ADMIN": ADMIN_SCOPES, "MEMBER": MEMBER_SCOPES, "VIEWER": VIEWER_SCOPES}
KINDS = {"PERSON": "user", "SERVICE_ACCOUNT": "service_account"}
"""The kinds of users, and what an identity calls them."""

SCOPES = ADMIN_SCOPES | {OPERATOR}
PLANS = ("standard", "local")
"""The plans there are; the first is given to who names none. Their limits are quota's."""

IDENTITY_SECONDS = 300
LEAST_IDENTITY_SECONDS = 5
"""A call that was let in must not be refused on its way, because its token ends meanwhile."""

LONGEST_NAME = 100
LONGEST_EMAIL = 254
PREFIX_LENGTH = 10
_SECRET = re.compile(r"rtn_[A-Za-z0-9_-]{43}\Z")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\Z")


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant."""

    organization_id: str
    name: str
    plan: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person or a machine. `scopes` are those beyond the role's."""

    id: str
    organization_id: str
    email: str
    name: str
    kind: str
    role: str
    created_at: datetime
    scopes: tuple[str, ...] = ()

    @property
    def carries(self) -> frozenset[str]:
        """Every scope of the user."""
        return ROLES[self.role].union(self.scopes)


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret. Empty `scopes` stand for all of the user's."""

    id: str
    organization_id: str
    user_id: str
    name: str
    scopes: tuple[str, ...]
    prefix: str
    expires_at: datetime | None
    created_at: datetime
    revoked_at: datetime | None = None

    def carries(self, user: User) -> frozenset[str]:
        """Every scope that the bearer has; never more than its user has by now."""
        return user.carries.intersection(self.scopes) if self.scopes else user.carries


def is_secret(text: str) -> bool:
    """Say whether a text has the form of an API token's secret."""
    return _SECRET.match(text) is not None


def hash_of(secret: str) -> bytes:
    """What is kept of a secret. It is as long as a hash of what has the form of none."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def prefix_of(secret: str) -> str:
    """What a secret is recognised by."""
    return secret[:PREFIX_LENGTH]


def email_key(email: str) -> str:
    """What makes two addresses the same one."""
    return unicodedata.normalize("NFKC", email).casefold()


def unknown_token() -> RetinueError:
    """The one error for everything that was never a token of this installation."""
    return unauthenticated("The token is not one of this installation.")


def check_alive(token: Token, now: datetime) -> None:
    """Raises TOKEN_REVOKED or TOKEN_EXPIRED."""
    if token.revoked_at is not None:
        raise unauthenticated("The token was revoked.", code="TOKEN_REVOKED", actions=_RENEW)
    if token.expires_at is not None and token.expires_at <= now:
        raise unauthenticated("The token has expired.", code="TOKEN_EXPIRED", actions=_RENEW)


def identity_of(user: User, token: Token) -> Identity:
    """Who the bearer of a token is. With scopes of its own a token never stands for an administrator."""
    admin = user.role == "ADMIN" and not token.scopes
    return Identity(
        organization_id=user.organization_id,
        subject=user.id,
        kind=KINDS[user.kind],
        scopes=frozenset(user.scopes) if admin else token.carries(user),
        admin=admin,
    )


def identity_seconds(token: Token, now: datetime) -> int:
    """How long an identity made now for a token is valid: five minutes, and hardly beyond the token itself."""
    if token.expires_at is None:
        return IDENTITY_SECONDS
    return max(LEAST_IDENTITY_SECONDS, min(IDENTITY_SECONDS, int((token.expires_at - now).total_seconds())))


def carried_by(who: Identity) -> frozenset[str]:
    """Every scope that an identity has."""
    return frozenset(scope for scope in SCOPES if who.has(scope))


def home_of(who: Identity, organization_id: str) -> str:
    """The organisation that is meant: the caller's own, or for an operator any. Raises ORGANIZATION_NOT_FOUND."""
    if organization_id in ("", who.organization_id) or who.has(OPERATOR):
        return organization_id or who.organization_id
    raise not_found("organization", organization_id)


def check_organization(name: str, plan: str) -> None:
    """Check an organisation that is to be created. Raises INVALID_ARGUMENT with every problem."""
    problems = [*_words("name", name, required=True)]
    if plan not in PLANS:
        problems.append(Problem("plan", f"must be {' or '.join(PLANS)}"))
    if problems:
        raise invalid("The organization cannot be created.", *problems)


def check_user(who: Identity, user: User) -> None:
    """Check a user who is to be created. Raises INVALID_ARGUMENT with every problem, or INSUFFICIENT_PERMISSIONS."""
    problems = [*_email(user.email), *_words("name", user.name)]
    if user.kind not in KINDS:
        problems.append(Problem("kind", f"must be {' or '.join(KINDS)}"))
    if user.role not in ROLES:
        problems.append(Problem("role", f"must be {', '.join(ROLES)}"))
    if problems:
        raise invalid("The user cannot be created.", *problems)
    if not who.has(OPERATOR) and not user.carries <= carried_by(who):
        raise denied(f"You cannot create a user with more rights than you have: {user.role}.")


def check_owner(who: Identity, user_id: str) -> str:
    """Decide whose token it will be: the caller's, or that of a user who an administrator or an operator names."""
    if user_id and (user_id == who.subject or who.admin or who.has(OPERATOR)):
        return user_id
    if user_id:
        raise denied("Only an administrator creates tokens for others.", actions=("Leave `userId` out.",))
    if who.is_service:
        raise not_a_user()
    return who.subject


def check_token(who: Identity, owner: User, token: Token, now: datetime) -> None:
    """Check a token that is to be created. Raises INVALID_ARGUMENT with every problem."""
    problems = [*_words("name", token.name, required=True)]
    for number, scope in enumerate(token.scopes):
        if scope not in SCOPES:
            problems.append(Problem(f"scopes[{number}]", f"does not exist; choose from {', '.join(sorted(SCOPES))}"))
        elif scope not in owner.carries:
            problems.append(Problem(f"scopes[{number}]", "is not one of the user's"))
        elif not who.has(OPERATOR) and not who.has(scope):
            problems.append(Problem(f"scopes[{number}]", "is not one of yours"))
    if not token.scopes and not who.has(OPERATOR) and not owner.carries <= carried_by(who):
        problems.append(Problem("scopes", "must be named: all scopes of the user would be more than your own"))
    if token.expires_at is not None and token.expires_at <= now:
        problems.append(Problem("expiresAt", "must be in the future"))
    if problems:
        raise invalid("The token cannot be created.", *problems)


def check_may_revoke(who: Identity, token: Token) -> None:
    """Raises TOKEN_NOT_FOUND for a token that the caller may not know of."""
    own = token.organization_id == who.organization_id and (who.admin or token.user_id == who.subject)
    if not own and not who.has(OPERATOR):
        raise not_found("token", token.id)


def duplicate_email(email: str) -> RetinueError:
    """The error for a second user with the same address."""
    problem = Problem("email", f"{email!r} belongs to another user of the organization")
    return exists("DUPLICATE_USER_EMAIL", "There is a user with this address.", problem)


def not_a_user() -> RetinueError:
    """The error for a service of the suite that asks what only users are told."""
    return precondition("NOT_A_USER", "The caller is a service of the suite and not a user.")


_RENEW = ("Create a new token and use it instead.",)


def _words(field: str, text: str, *, required: bool = False) -> Iterator[Problem]:
    if required and not text:
        yield Problem(field, "must not be empty")
    if len(text) > LONGEST_NAME:
        yield Problem(field, f"has {len(text)} characters; keep it to {LONGEST_NAME}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        yield Problem(field, "holds control characters; remove them")


def _email(email: str) -> Iterator[Problem]:
    if len(email) > LONGEST_EMAIL:
        yield Problem("email", f"has {len(email)} characters; an address has at most {LONGEST_EMAIL}")
    elif not _EMAIL.match(email) or not email.isprintable():
        yield Problem("email", "must be an address, such as ada@example.com")
