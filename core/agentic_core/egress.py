"""Where a program may connect on behalf of a tenant: an aiohttp resolver that lets only permitted addresses through.

Whoever calls a URL that a tenant wrote builds its session on it. A name is resolved once, each address is checked, and
the connection is made to a checked address, so that a name that changes its address in between gains nothing.
"""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from agentic_core import addresses


class ForbiddenAddress(OSError):
    """The address must not be connected to."""


class Guard:
    """The rule for addresses and names."""

    def __init__(self, *, private: bool, loopback: bool = False, foreign_namespace: str | None = None) -> None:
        self._private = private
        self._loopback = loopback
        self._foreign = foreign_namespace

    def refuse(self, address: str) -> None:
        """Raises `ForbiddenAddress` unless the address may be connected to."""
        ip = ip_address(address.partition("%")[0])
        if (addresses.embedded(ip) or ip).is_loopback:
            reason = None if self._loopback else "a loopback address"
        else:
            reason = addresses.check(ip, allow_private=self._private)
        if reason:
            raise ForbiddenAddress(f"it leads to {reason}")

    def refuse_url(self, url: str) -> None:
        """The same for a URL whose host is an address or a Service of the platform; other names wait for `resolve`."""
        host = (urlsplit(url).hostname or "").rstrip(".")
        try:
            ip_address(host)
        except ValueError:
            if self._foreign and _leads_into(self._foreign, host):
                raise ForbiddenAddress("it leads to a Service of the platform") from None
            return
        self.refuse(host)


def _leads_into(namespace: str, host: str) -> bool:
    """Whether the cluster's DNS may find the host in this namespace, which is that of the program itself.

    A name without dots is looked for there first. Services and their pods are `[pod.]service.namespace[.svc…]`, pods
    alone are `address.namespace.pod…`.
    """
    labels = host.lower().split(".")
    if len(labels) == 1:
        return host != "localhost"
    places = [at for at, label in enumerate(labels) if at and label == namespace]
    return any(labels[at + 1 : at + 2] in ([], ["svc"], ["pod"]) for at in places)


class GuardedResolver(AbstractResolver):
    """Resolves names to addresses that may be connected to."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of the name; one that is forbidden forbids the name."""
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._guard.refuse(result["host"])
        return found

    async def close(self) -> None:
        """Nothing is held open."""
        await self._resolver.close()
