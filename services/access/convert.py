"""Proto to domain and back, for access.

Owns the defaults that the proto promises. It judges no values but times that do not exist; the domain does.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from retinue.access.v1 import access_pb2
from retinue_core.errors import Problem, invalid
from services.access.domain import PLANS, Organization, Token, User


def new_organization(sent: access_pb2.Organization, organization_id: str, now: datetime) -> Organization:
    """The organisation that a message asks for."""
    return Organization(organization_id, sent.name.strip(), sent.plan or PLANS[0], now)


def new_user(sent: access_pb2.User, user_id: str, organization_id: str, now: datetime) -> User:
    """The user that a message asks for."""
    return User(
        id=user_id,
        organization_id=organization_id,
        email=sent.email.strip(),
        name=sent.name.strip(),
        kind=_name(access_pb2.User.Kind, sent.kind) or "PERSON",
        role=_name(access_pb2.User.Role, sent.role) or "MEMBER",
        created_at=now,
    )


def new_token(sent: access_pb2.ApiToken, token_id: str, owner: User, prefix: str, now: datetime) -> Token:
    """The token that a message asks for, to belong to a user."""
    return Token(
        id=token_id,
        organization_id=owner.organization_id,
        user_id=owner.id,
        name=sent.name.strip(),
        scopes=tuple(dict.fromkeys(sent.scopes)),
        prefix=prefix,
        expires_at=_moment(sent.expires_at, "expiresAt") if sent.HasField("expires_at") else None,
        created_at=now,
    )


def organization(kept: Organization) -> access_pb2.Organization:
    """The message for an organisation."""
    message = access_pb2.Organization(id=kept.organization_id, name=kept.name, plan=kept.plan)
    message.created_at.FromDatetime(kept.created_at)
    return message


def user(kept: User) -> access_pb2.User:
    """The message for a user."""
    message = access_pb2.User(
        id=kept.id,
        organization_id=kept.organization_id,
        email=kept.email,
        name=kept.name,
        kind=access_pb2.User.Kind.Value(kept.kind),
        role=access_pb2.User.Role.Value(kept.role),
    )
    message.created_at.FromDatetime(kept.created_at)
    return message


def token(kept: Token) -> access_pb2.ApiToken:
    """The message for a token."""
    message = access_pb2.ApiToken(
        id=kept.id, user_id=kept.user_id, name=kept.name, scopes=kept.scopes, prefix=kept.prefix
    )
    message.created_at.FromDatetime(kept.created_at)
    if kept.expires_at is not None:
        message.expires_at.FromDatetime(kept.expires_at)
    if kept.revoked_at is not None:
        message.revoked_at.FromDatetime(kept.revoked_at)
    return message


def revocation(token_id: str, hashed: bytes) -> bytes:
    """What goes with the hint that a token was revoked: its id, and the hash by which caches may know it."""
    return json.dumps({"tokenId": token_id, "hash": hashed.hex()}).encode()


def _moment(sent: Timestamp, path: str) -> datetime:
    try:
        return sent.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid("A time does not exist.", Problem(path, "must be from the year 1 to the year 9999")) from None


def _name(kind: Any, number: int) -> str:
    if number not in kind.values():
        return str(number)
    return str(kind.Name(number)) if number else ""
