"""Where tools may connect to: decided from a URL and from the address that is about to be connected to.

Owns the table of address ranges that are refused and the operator's exceptions. It resolves and connects nothing.
Sources: the IANA special-purpose address registries (RFC 6890 and its successors).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

MAX_URL = 4096

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_REFUSED_V4 = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)
# Outside 2000::/3 nothing of IPv6 is public: that leaves out loopback, unspecified, mapped and compatible IPv4,
# NAT64, unique local, link-local, site-local and multicast addresses all at once.
_PUBLIC_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = (
    ("2001::/23", "protocol assignments, Teredo among them"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
)
_RANGES_V4 = tuple((IPv4Network(text), why) for text, why in _REFUSED_V4)
_RANGES_V6 = tuple((IPv6Network(text), why) for text, why in _REFUSED_V6)
_ISATAP = (0x00005EFE, 0x02005EFE)

_PORTS = {"http": 80, "https": 443}
_BAD = re.compile(r"[\x00-\x20\x7f\\<>\"{}|^`]")
_NETLOC = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::\d*)?\Z")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")


class RefusedError(Exception):
    """A place that tools may not reach. The message says why, without saying what is there."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL points to. `host` is in its canonical spelling, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a browser would call the same origin."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, in its canonical spelling."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One exception of the operator's: a host by name or a range of addresses, at one port or at all."""

    host: str = ""
    network: _Network | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one installation."""

    allowed: tuple[Rule, ...] = ()

    def check_address(self, host: str, address: str, port: int) -> None:
        """Refuse an address that `host` resolved to, unless it is public or excepted. Raises RefusedError."""
        parsed = ipaddress.ip_address(address)
        if not any(_excepts(rule, host, parsed, port) for rule in self.allowed):
            why = refusal(parsed)
            if why:
                raise RefusedError(f"{host} is at an address that tools may not reach ({why}).")


def parse_policy(entries: Sequence[str]) -> Policy:
    """Read exceptions: `host:port`, `host`, `range`, `range:port`, `[range]:port`. Raises ValueError."""
    return Policy(tuple(_rule(entry) for entry in entries))


def refusal(address: _Address) -> str:
    """Why an address is refused; empty when it is public."""
    if isinstance(address, IPv4Address):
        return next((why for network, why in _RANGES_V4 if address in network), "")
    if address.scope_id is not None or address not in _PUBLIC_V6:
        return "not a public IPv6 address"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "ISATAP"
    return next((why for network, why in _RANGES_V6 if address in network), "")


def parse_url(url: str) -> Target:
    """Read a URL that a tool wants to reach. Raises RefusedError for whatever is not plainly http or https."""
    if len(url) > MAX_URL:
        raise RefusedError(f"The URL is longer than {MAX_URL} characters.")
    if _BAD.search(url):
        raise RefusedError("The URL has characters that must be percent-encoded.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedError("The URL cannot be read.") from None
    if parts.scheme not in _PORTS:
        raise RefusedError("Only http and https URLs can be reached.")
    if "@" in parts.netloc:
        raise RefusedError("Credentials in a URL are not accepted; send them in a header.")
    if port == 0 or not _NETLOC.match(parts.netloc):
        raise RefusedError("The host and port of the URL cannot be read.")
    query = f"?{parts.query}" if parts.query else ""
    path = (parts.path or "/") + query
    if not path.isascii():
        raise RefusedError("The path of the URL must be percent-encoded.")
    return Target(parts.scheme, _host(parts.hostname or ""), port or _PORTS[parts.scheme], path)


def _host(host: str) -> str:
    if ":" in host:
        try:
            address = IPv6Address(host)
        except ValueError:
            raise RefusedError("The host of the URL is not an IPv6 address.") from None
        if address.scope_id is not None:
            raise RefusedError("An address with a zone cannot be reached.")
        return str(address)
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise RefusedError("The host of the URL is not a name.") from None
    labels = name.split(".")
    if _NUMERIC.match(labels[-1]):
        return _dotted_quad(name)
    if not all(_LABEL.match(label) for label in labels):
        raise RefusedError("The host of the URL is not a name.")
    return name


def _dotted_quad(name: str) -> str:
    """Hosts that end in a number are IPv4 addresses, and of their many spellings only the plain one is taken."""
    try:
        return str(IPv4Address(name))
    except ValueError:
        raise RefusedError("The host of the URL is an unusual spelling of an address.") from None


def _excepts(rule: Rule, host: str, address: _Address, port: int) -> bool:
    if rule.port is not None and rule.port != port:
        return False
    if rule.network is None:
        return rule.host == host
    return address.version == rule.network.version and address in rule.network


def _rule(entry: str) -> Rule:
    text, port = entry.strip().lower(), None
    if text.startswith("["):
        inside, _, rest = text[1:].partition("]")
        text, port = inside, _port(rest.removeprefix(":")) if rest else None
    elif text.count(":") == 1:
        text, _, rest = text.partition(":")
        port = _port(rest)
    try:
        return Rule(network=ipaddress.ip_network(text), port=port)
    except ValueError:
        if "/" in text or not all(_LABEL.match(label) for label in text.split(".")):
            raise ValueError(f"{entry!r} is neither host:port nor a range such as 10.1.0.0/16:443") from None
        return Rule(host=text, port=port)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port")
    return int(text)
