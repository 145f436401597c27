"""The first organisation of an installation, and its administrator's token.

Owns what an empty installation begins with. It is safe to run at every start and in several replicas at once: what is
there stays as it is, and a bootstrap token that was revoked stays revoked.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from retinue_core.clock import Clock
from retinue_core.config import invalid_configuration
from retinue_core.errors import Kind, Problem, RetinueError
from retinue_core.ids import new_id
from services.access import domain
from services.access.domain import OPERATOR, Organization, Token, User
from services.access.store import Store

log = logging.getLogger(__name__)

EMAIL = "admin@localhost"
_RETRY_SECONDS = 0.5


async def bootstrap(store: Store, secret: str, clock: Clock) -> None:
    """Make sure that the secret is a token of the installation's operator; waits for a database that is down.

    Raises INVALID_CONFIGURATION when it does not have the form of a token.
    """
    if not domain.is_secret(secret):
        form = "must be rtn_ and 43 characters out of A-Z, a-z, 0-9, - and _."
        raise invalid_configuration([Problem("RETINUE_BOOTSTRAP_TOKEN", form)])
    while True:
        try:
            await _ensure(store, secret, clock.now())
        except RetinueError as error:
            if error.kind is not Kind.UNAVAILABLE:
                raise
            log.warning("bootstrap waits: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


async def _ensure(store: Store, secret: str, now: datetime) -> None:
    organization = Organization(new_id(), "default", "local", now)
    founder = User(
        id=new_id(),
        organization_id=organization.organization_id,
        email=EMAIL,
        name="Administrator",
        kind="PERSON",
        role="ADMIN",
        created_at=now,
        scopes=(OPERATOR,),
    )
    if await store.found(organization, founder):
        log.info("made the first organisation, %s", organization.organization_id)
    operator = await store.operator()
    if operator is None:
        log.warning("there are organisations and no operator: the bootstrap token is left out")
        return
    token = Token(
        id=new_id(),
        organization_id=operator.organization_id,
        user_id=operator.id,
        name="bootstrap",
        scopes=(),
        prefix=domain.prefix_of(secret),
        expires_at=None,
        created_at=now,
    )
    if await store.insert_token(token, domain.hash_of(secret)):
        log.info("added the bootstrap token %s… of %s", token.prefix, operator.email)
