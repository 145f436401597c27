"""The RPCs of the access room: convert, check, keep, convert back.

Owns the order of these steps, and the making of secrets: a secret is in the answer that creates it and nowhere else.
"""

from __future__ import annotations

import secrets
from typing import Any

from retinue.access.v1 import access_service_pb2 as pb
from retinue.access.v1 import access_service_pb2_grpc
from retinue_core.clock import Clock
from retinue_core.db.schema import EVERY_ORGANIZATION
from retinue_core.events import Events
from retinue_core.identity import Identity, Signer
from retinue_core.ids import is_id, new_id
from retinue_core.pages import invalid_page_token, page_key, page_size, page_token
from retinue_core.rpc.call import caller
from services.access import convert, domain
from services.access.store import Store


class AccessService(access_service_pb2_grpc.AccessServiceServicer):
    """Keeps organisations, users and tokens, and vouches for people."""

    def __init__(self, store: Store, signer: Signer, events: Events, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._events = events
        self._clock = clock

    async def Authenticate(self, request: pb.AuthenticateRequest, context: Any) -> pb.AuthenticateResponse:
        """Exchange an API token for a signed identity."""
        now = self._clock.now()
        found = await self._store.token_by_hash(domain.hash_of(request.token))
        if found is None:
            raise domain.unknown_token()
        token, user = found
        domain.check_alive(token, now)
        seconds = domain.identity_seconds(token, now)
        answer = pb.AuthenticateResponse(identity=self._signer.sign(domain.identity_of(user, token), seconds))
        answer.expires_at.FromSeconds(int(now.timestamp() + seconds))
        return answer

    async def GetCaller(self, request: pb.GetCallerRequest, context: Any) -> pb.GetCallerResponse:
        """Say who the caller is."""
        who = caller()
        if who.is_service:
            raise domain.not_a_user()
        user = await self._store.user(who.organization_id, who.subject)
        home = await self._store.organization(who.organization_id)
        return pb.GetCallerResponse(
            user=convert.user(user), organization=convert.organization(home), scopes=sorted(domain.carried_by(who))
        )

    async def CreateOrganization(
        self, request: pb.CreateOrganizationRequest, context: Any
    ) -> pb.CreateOrganizationResponse:
        """Create an organisation."""
        created = convert.new_organization(request.organization, new_id(), self._clock.now())
        domain.check_organization(created.name, created.plan)
        await self._store.insert_organization(created)
        return pb.CreateOrganizationResponse(organization=convert.organization(created))

    async def GetOrganization(self, request: pb.GetOrganizationRequest, context: Any) -> pb.GetOrganizationResponse:
        """Read an organisation."""
        asked = domain.home_of(caller(), request.organization_id)
        return pb.GetOrganizationResponse(organization=convert.organization(await self._store.organization(asked)))

    async def CreateUser(self, request: pb.CreateUserRequest, context: Any) -> pb.CreateUserResponse:
        """Create a user."""
        who = caller()
        home = domain.home_of(who, request.organization_id)
        created = convert.new_user(request.user, new_id(), home, self._clock.now())
        domain.check_user(who, created)
        await self._store.insert_user(created)
        return pb.CreateUserResponse(user=convert.user(created))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Any) -> pb.ListUsersResponse:
        """List the users of the caller's organisation."""
        home, size = caller().organization_id, page_size(request.page_size)
        after = _after(request.page_token, "users", home)
        found = await self._store.users(home, after, size + 1)
        more = page_token([found[size - 1].id], "users", home) if len(found) > size else ""
        return pb.ListUsersResponse(users=map(convert.user, found[:size]), next_page_token=more)

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.CreateTokenResponse:
        """Create a token."""
        who, now = caller(), self._clock.now()
        owner = await self._store.user(_reach(who), domain.check_owner(who, request.token.user_id))
        secret = f"rtn_{secrets.token_urlsafe(32)}"
        created = convert.new_token(request.token, new_id(), owner, domain.prefix_of(secret), now)
        domain.check_token(who, owner, created, now)
        await self._store.insert_token(created, domain.hash_of(secret))
        return pb.CreateTokenResponse(token=convert.token(created), secret=secret)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        """List the caller's tokens, or all of the organisation for an administrator."""
        who, size = caller(), page_size(request.page_size)
        whose = "" if who.admin else who.subject
        after = _after(request.page_token, "tokens", who.organization_id, whose)
        found = await self._store.tokens(who.organization_id, whose, after, size + 1)
        more = page_token([found[size - 1].id], "tokens", who.organization_id, whose) if len(found) > size else ""
        return pb.ListTokensResponse(tokens=map(convert.token, found[:size]), next_page_token=more)

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        """Revoke a token, and tell who may have cached it; told again when it is revoked again."""
        who, now = caller(), self._clock.now()
        token = await self._store.token(_reach(who), request.token_id)
        domain.check_may_revoke(who, token)
        hashed = await self._store.revoke(token, now)
        subject = f"access.{token.organization_id}.tokens.revoked"
        await self._events.hint(subject, convert.revocation(token.id, hashed))
        return pb.RevokeTokenResponse()


def _reach(who: Identity) -> str:
    return EVERY_ORGANIZATION if who.has(domain.OPERATOR) else who.organization_id


def _after(token: str, *asked: str) -> str:
    key = page_key(token, 1, *asked)
    if key is not None and not is_id(key[0]):
        raise invalid_page_token("is not one that this service made")
    return key[0] if key else ""
