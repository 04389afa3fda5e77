"""How a URL that a tenant wrote is read: once, by the parser whose result is connected to, and in one spelling only.

`Guard` parses each URL with it. A host is accepted only if its text is its canonical form, so that no other parser can
read another host from it: no Unicode that becomes ASCII, no escapes, no addresses that are written in another way.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from yarl import URL

MAX_URL: Final = 2048
"""Longest URL in characters."""
MAX_HOST: Final = 253
SCHEMES: Final = ("http", "https")
LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes some parsers read the whole host as an IPv4 address."""


class InvalidUrl(ValueError):
    """The text is no URL that is called. Its message is a phrase without a full stop."""


def parse(text: str) -> URL:
    """The URL, whose `raw_host` is an IP address or a host name in canonical ASCII; raises `InvalidUrl`."""
    if len(text) > MAX_URL or any(character <= " " or character in "\\\x7f" for character in text):
        raise InvalidUrl("not a URL: too long, or with blanks, backslashes or control characters")
    try:
        parts, url = urlsplit(text), URL(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidUrl("not a URL") from None
    if not host:
        raise InvalidUrl("not a URL with a host")
    if url.scheme not in SCHEMES:
        raise InvalidUrl("only http and https URLs are called")
    if "@" in parts.netloc:
        raise InvalidUrl("a URL with credentials is not called")
    _check_host(parts, host, url.raw_host or "")
    if port != url.explicit_port or port == 0:
        raise InvalidUrl("not a URL: its port must be a number from 1 to 65535")
    return url


def _check_host(parts: SplitResult, host: str, connected: str) -> None:
    """`host` and `connected` are what two parsers read, in lower case; they must agree."""
    if not parts.netloc.isascii():
        raise InvalidUrl("its host is not written in ASCII; write an international name in its xn-- form")
    if "[" in parts.netloc:
        if not _is_ipv6(host) or IPv6Address(host) != IPv6Address(connected):
            raise InvalidUrl("its host is not an IPv6 address without a zone")
    elif host != connected or not (_is_ipv4(connected) or is_name(connected)):
        raise InvalidUrl(
            "its host is neither a host name of letters, digits, hyphens and dots nor an IPv4 address of four numbers"
        )


def is_name(host: str) -> bool:
    """Whether the text is a host name in lower case that nothing reads as an address; it may end in one dot."""
    labels = host.removesuffix(".").split(".")
    return len(host) <= MAX_HOST and all(map(LABEL.fullmatch, labels)) and not NUMBER.fullmatch(labels[-1])


def _is_ipv4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False


def _is_ipv6(host: str) -> bool:
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False
