"""How agents are found: who sees which, in what order, from where on, and by which terms.

Owns the question that a list asks and the page tokens that continue it. It holds no SQL; the store answers it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from retinue_core.errors import Problem, invalid
from retinue_core.filters import Condition
from retinue_core.identity import Identity
from retinue_core.ids import is_id
from retinue_core.pages import invalid_page_token, page_key, page_size, page_token
from services.agent.domain.agent import Agent, Definition
from services.agent.domain.filters import parse_agent_filter, search_words

ORDERS = ("name", "created_at", "updated_at")
_ORDER = re.compile(r"\s*([A-Za-z_]*)(?:\s+(asc|desc))?\s*\Z")
_SPELLINGS = {"name": "name", "created_at": "created_at", "updated_at": "updated_at"} | {
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Whose agents a list may show: all of the organisation, or for `subject` its own and the shared ones."""

    organization_id: str
    subject: str
    everything: bool


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is sorted by: one of `ORDERS`, then the id."""

    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A page of agents that is asked for; `after` is the sort key and the id of the last agent before it."""

    reach: Reach
    conditions: tuple[Condition, ...]
    order: Order
    size: int
    after: tuple[str | datetime, str] | None


def query(who: Identity, size: int, token: str, filter_text: str, order_by: str) -> Query:
    """Read a question. Raises INVALID_FILTER, INVALID_PAGE_TOKEN or INVALID_ARGUMENT with the field."""
    reach = Reach(who.organization_id, who.subject, everything=who.admin or who.is_service)
    conditions, order = parse_agent_filter(filter_text), parse_order(order_by)
    key = page_key(token, 2, *_asked(conditions, order))
    return Query(reach, conditions, order, page_size(size), _after(order, key))


def parse_order(text: str) -> Order:
    """Read `name`, `created_at` or `updated_at`, with ` desc` behind it or not; newest first when empty."""
    if not text.strip():
        return Order("created_at", descending=True)
    found = _ORDER.match(text)
    if found is None or found[1] not in _SPELLINGS:
        known = "must be one of " + ", ".join(ORDERS) + ", with ' desc' behind it or without"
        raise invalid("The order cannot be read.", Problem("orderBy", known))
    return Order(_SPELLINGS[found[1]], descending=found[2] == "desc")


def next_token(query: Query, agents: list[Agent]) -> str:
    """The token of the page behind these agents; empty when they do not fill their page."""
    if len(agents) <= query.size:
        return ""
    last = agents[query.size - 1]
    return page_token((_sort_key(query.order, last), last.id), *_asked(query.conditions, query.order))


def name_key(name: str) -> str:
    """What makes names equal: without case, and without the difference between compatible characters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def terms(definition: Definition) -> frozenset[tuple[str, str]]:
    """What an agent is found by besides its fields: (`tag`, tag) and (`word`, word of its name)."""
    tags = {("tag", tag) for tag in definition.tags}
    return frozenset(tags | {("word", word) for word in search_words(definition.name)})


def _asked(conditions: tuple[Condition, ...], order: Order) -> tuple[str, ...]:
    parts = [f"{condition.field}{':' if condition.search else '='}{condition.value}" for condition in conditions]
    return (*parts, order.field, str(order.descending))


def _sort_key(order: Order, agent: Agent) -> str:
    if order.field == "name":
        return name_key(agent.definition.name)
    moment = agent.created_at if order.field == "created_at" else agent.updated_at
    return moment.isoformat()


def _after(order: Order, key: tuple[str, ...] | None) -> tuple[str | datetime, str] | None:
    if key is None:
        return None
    value, agent_id = key
    if not is_id(agent_id):
        raise invalid_page_token("is not one that this service made")
    if order.field == "name":
        return value, agent_id
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise invalid_page_token("is not one that this service made") from None
    if moment.tzinfo is None:
        raise invalid_page_token("is not one that this service made")
    return moment, agent_id
