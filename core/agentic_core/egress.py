"""Where a program may connect on behalf of a tenant: an aiohttp resolver that lets only permitted addresses through.

Whoever calls a URL that a tenant wrote builds its session on it. A name is resolved once, each address is checked, and
the connection is made to a checked address, so that a name that changes its address in between gains nothing.
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from agentic_core import addresses, telemetry
from agentic_core.addresses import IPAddress

log = telemetry.logger(__name__)


class ForbiddenAddress(OSError):
    """The address must not be connected to."""


class Guard:
    """The rule for addresses and names."""

    def __init__(
        self,
        *,
        private: bool,
        loopback: bool = False,
        foreign_namespace: str | None = None,
        foreign: frozenset[IPAddress] = frozenset(),
    ) -> None:
        self._private = private
        self._loopback = loopback
        self._foreign_namespace = foreign_namespace
        self._foreign = foreign

    def refuse(self, address: str, *, said: str = "it leads to") -> None:
        """Raises `ForbiddenAddress`, which says that `said` a forbidden one, unless the address may be connected to."""
        ip = ip_address(address.partition("%")[0])
        real = addresses.embedded(ip) or ip
        if real in self._foreign:
            reason: str | None = "an address of the platform"
        elif real.is_loopback:
            reason = None if self._loopback else "a loopback address"
        else:
            reason = addresses.check(ip, allow_private=self._private)
        if reason:
            raise ForbiddenAddress(f"{said} {reason}")

    def refuse_url(self, url: str) -> None:
        """The same for a URL whose host is an address or a Service of the platform; other names wait for `resolve`."""
        host = (urlsplit(url).hostname or "").rstrip(".")
        try:
            ip_address(host)
        except ValueError:
            if self._foreign_namespace and _leads_into(self._foreign_namespace, host):
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


async def addresses_of(hosts: Iterable[str]) -> frozenset[IPAddress]:
    """The addresses of the platform's own hosts, for `foreign`: any name outside may lead to them.

    Loopback addresses are left out, those have a rule of their own; so are names that cannot be resolved.
    """
    resolver = asyncio.get_running_loop()
    found: set[IPAddress] = set()
    for host in hosts:
        try:
            results = await resolver.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            log.warning("a host of the platform cannot be resolved; names that lead to it are not refused", host=host)
            continue
        found.update(ip_address(str(address[0]).partition("%")[0]) for *_, address in results)
    return frozenset(address for address in found if not address.is_loopback)


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
            self._guard.refuse(result["host"], said=f"{host} resolves to")
        return found

    async def close(self) -> None:
        """Nothing is held open."""
        await self._resolver.close()
