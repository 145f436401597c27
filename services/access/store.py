"""All SQL of the access room.

Owns how organisations, users and tokens are kept and found. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.errors import ForeignKeyViolation, UniqueViolation
from psycopg.rows import DictRow

from retinue_core.db import Database
from retinue_core.db.schema import EVERY_ORGANIZATION
from retinue_core.errors import not_found
from retinue_core.ids import is_id
from services.access.domain import OPERATOR, Organization, Token, User, duplicate_email, email_key

_ORGANIZATION = "select organization_id::text, name, plan, created_at from organizations where organization_id = %s"
_NEW_ORGANIZATION = """
insert into organizations (organization_id, name, plan, created_at)
values (%(organization_id)s, %(name)s, %(plan)s, %(created_at)s)
"""
_FOUND = """
insert into organizations (organization_id, name, plan, created_at)
select %(organization_id)s::uuid, %(name)s, %(plan)s, %(created_at)s where not exists (select from organizations)
returning organization_id
"""
_LOCK = "select pg_advisory_xact_lock(hashtext('retinue_access.bootstrap'))"

_USER_COLUMNS = "id::text, organization_id::text, email, name, kind, role, created_at, scopes"
_USER = f"select {_USER_COLUMNS} from users where id = %s"
_USERS = f"""
select {_USER_COLUMNS} from users where organization_id = %(organization_id)s and id > %(after)s::uuid
order by id limit %(rows)s
"""
_OPERATOR = f"select {_USER_COLUMNS} from users where %s = any (scopes) order by id limit 1"
_NEW_USER = """
insert into users (id, organization_id, email, email_key, name, kind, role, scopes, created_at)
values (%(id)s, %(organization_id)s, %(email)s, %(email_key)s, %(name)s, %(kind)s, %(role)s, %(scopes)s, %(created_at)s)
"""

_COLUMNS = """
t.id::text, t.organization_id::text, t.user_id::text, t.name, t.scopes, t.prefix, t.expires_at, t.created_at,
t.revoked_at
"""
_BY_HASH = f"""
select {_COLUMNS}, u.email as user_email, u.name as user_name, u.kind as user_kind, u.role as user_role,
    u.created_at as user_created_at, u.scopes as user_scopes
from tokens t join users u on u.id = t.user_id where t.hash = %s
"""
_TOKEN = f"select {_COLUMNS} from tokens t where t.id = %s"
_TOKENS = f"""
select {_COLUMNS} from tokens t where t.organization_id = %(organization_id)s and t.id > %(after)s::uuid
order by t.id limit %(rows)s
"""
_TOKENS_OF_USER = f"""
select {_COLUMNS} from tokens t where t.user_id = %(user_id)s and t.id > %(after)s::uuid
order by t.id limit %(rows)s
"""
_INSERT = """
insert into tokens (id, organization_id, user_id, name, scopes, hash, prefix, expires_at, created_at)
values (%(id)s, %(organization_id)s, %(user_id)s, %(name)s, %(scopes)s, %(hash)s, %(prefix)s, %(expires_at)s,
    %(created_at)s)
on conflict (hash) do nothing returning id
"""
_REVOKE = "update tokens set revoked_at = coalesce(revoked_at, %s) where id = %s returning hash"
_FIRST = "00000000-0000-0000-0000-000000000000"


class Store:
    """Organisations, users and tokens.

    A call names the organisation whose rows it may touch; EVERY_ORGANIZATION stands for all.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def organization(self, organization_id: str) -> Organization:
        """Read an organisation. Raises ORGANIZATION_NOT_FOUND."""
        row = await self._one(organization_id, _ORGANIZATION, organization_id, "organization")
        return Organization(**row)

    async def insert_organization(self, organization: Organization) -> None:
        """Keep a new organisation."""
        await self._database.statement(organization.organization_id, _NEW_ORGANIZATION, asdict(organization))

    async def found(self, organization: Organization, founder: User) -> bool:
        """Keep the first organisation and its first user, unless there is an organisation; says whether it did."""
        async with self._database.system() as connection:
            await connection.execute(_LOCK)
            cursor = await connection.execute(_FOUND, asdict(organization))
            if await cursor.fetchone() is None:
                return False
            await connection.execute(_NEW_USER, _user_values(founder))
            return True

    async def operator(self) -> User | None:
        """Read the first user who is an operator of the platform."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _OPERATOR, [OPERATOR])
        return _user(rows[0]) if rows else None

    async def user(self, scope: str, user_id: str) -> User:
        """Read a user. Raises USER_NOT_FOUND."""
        return _user(await self._one(scope, _USER, user_id, "user"))

    async def users(self, organization_id: str, after: str, rows: int) -> list[User]:
        """Read users in the order of their ids, behind an id (empty: from the first)."""
        values = {"organization_id": organization_id, "after": after or _FIRST, "rows": rows}
        return [_user(row) for row in await self._database.statement(organization_id, _USERS, values)]

    async def insert_user(self, user: User) -> None:
        """Keep a new user. Raises DUPLICATE_USER_EMAIL and ORGANIZATION_NOT_FOUND."""
        if not is_id(user.organization_id):
            raise not_found("organization", user.organization_id)
        try:
            await self._database.statement(user.organization_id, _NEW_USER, _user_values(user))
        except UniqueViolation:
            raise duplicate_email(user.email) from None
        except ForeignKeyViolation:
            raise not_found("organization", user.organization_id) from None

    async def token_by_hash(self, hashed: bytes) -> tuple[Token, User] | None:
        """Find a token, whoever's it is, and its user."""
        rows = await self._database.statement(EVERY_ORGANIZATION, _BY_HASH, [hashed])
        if not rows:
            return None
        row = rows[0]
        owner = {name.removeprefix("user_"): row.pop(name) for name in [*row] if name.startswith("user_")}
        token = _token(row | {"user_id": owner.pop("id")})
        return token, _user(owner | {"id": token.user_id, "organization_id": token.organization_id})

    async def token(self, scope: str, token_id: str) -> Token:
        """Read a token. Raises TOKEN_NOT_FOUND."""
        return _token(await self._one(scope, _TOKEN, token_id, "token"))

    async def tokens(self, organization_id: str, user_id: str, after: str, rows: int) -> list[Token]:
        """Read tokens of a user (empty: of all) in the order of their ids, behind an id (empty: from the first)."""
        values = {"organization_id": organization_id, "user_id": user_id, "after": after or _FIRST, "rows": rows}
        statement = _TOKENS_OF_USER if user_id else _TOKENS
        return [_token(row) for row in await self._database.statement(organization_id, statement, values)]

    async def insert_token(self, token: Token, hashed: bytes) -> bool:
        """Keep a new token, unless one with the same secret is there; says whether it did."""
        values = asdict(token) | {"hash": hashed, "scopes": list(token.scopes)}
        return bool(await self._database.statement(token.organization_id, _INSERT, values))

    async def revoke(self, token: Token, now: datetime) -> bytes:
        """Mark a token as revoked, now or when it first was; returns its hash."""
        [row] = await self._database.statement(token.organization_id, _REVOKE, [now, token.id])
        return bytes(row["hash"])

    async def _one(self, scope: str, statement: str, identifier: str, what: str) -> DictRow:
        if not is_id(identifier):
            raise not_found(what, identifier)
        rows: Sequence[DictRow] = await self._database.statement(scope, statement, [identifier])
        if not rows:
            raise not_found(what, identifier)
        return rows[0]


def _user(row: dict[str, Any]) -> User:
    return User(**row | {"scopes": tuple(row["scopes"])})


def _user_values(user: User) -> dict[str, Any]:
    return asdict(user) | {"email_key": email_key(user.email), "scopes": list(user.scopes)}


def _token(row: dict[str, Any]) -> Token:
    return Token(**row | {"scopes": tuple(row["scopes"])})
