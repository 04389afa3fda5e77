"""Which addresses a host name has, for many tenants at once: a name server that is silent delays only who chose it.

`GuardedClient` resolves names with it; programs look up the platform's own hosts with `addresses_of` when they start.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from weakref import WeakSet

import aiodns
import pycares
from cachetools import TLRUCache

from agentic_core import telemetry
from agentic_core.addresses import IPAddress
from agentic_core.fair_semaphore import FairSemaphore
from agentic_core.single_flight import SingleFlight
from agentic_core.tasks import cancel

MAX_SECONDS: Final = 4.0
"""Longest time that a caller waits for the addresses of a name."""
FOUND_SECONDS: Final = 10.0
"""For how long addresses are cached."""
FAILED_SECONDS: Final = 3.0
"""For how long it is cached that a name has none, or that its name server is silent."""
MAX_LOOKUPS: Final = 512
MAX_LOOKUPS_PER_TENANT: Final = 16
MAX_CACHED: Final = 4096
ATTEMPT_SECONDS: Final = 0.5
"""How long the first attempt waits for a name server; each further one waits twice as long. Where the server has been
fast, c-ares shortens it."""
ATTEMPTS: Final = 4
CHANNEL_USES: Final = 1024
FLAGS: Final = pycares.ARES_FLAG_EDNS | pycares.ARES_FLAG_IGNTC
"""A response is one datagram: who answers for a name cannot make it as long as a TCP connection allows."""

log = telemetry.logger(__name__)


class NameNotResolved(OSError):
    """The host name has no address, or its name server did not respond in time."""


@dataclass(frozen=True)
class _Result:
    addresses: Sequence[str]
    problem: str | None = None


@dataclass(frozen=True)
class NameServers:
    """Other name servers than those of resolv.conf."""

    addresses: Sequence[str]
    """Each an address with a port."""
    search: Sequence[str]
    ndots: int


class Lookups:
    """The lookups of a process. Open one inside the event loop, and close it.

    c-ares makes them, as resolv.conf and the hosts file say, with no thread for each.

    Invariants: a tenant has at most `MAX_LOOKUPS_PER_TENANT` lookups at a time, including those whose caller has given
    up, and at most one of a name; no tenant waits for lookups of others while fewer than `MAX_LOOKUPS` are in progress.
    """

    def __init__(self, servers: NameServers | None = None) -> None:
        """`servers` are those of resolv.conf by default."""
        self._servers = servers
        self._slots = FairSemaphore[str](MAX_LOOKUPS, per_tenant=MAX_LOOKUPS_PER_TENANT)
        self._results: SingleFlight[tuple[str, str], _Result] = SingleFlight(TLRUCache(MAX_CACHED, _expiry))
        self._running: set[asyncio.Task[_Result]] = set()
        self._channels: WeakSet[aiodns.DNSResolver] = WeakSet()
        self._channel: aiodns.DNSResolver | None = None
        self._uses = 0

    async def addresses(self, host: str, *, tenant: str) -> Sequence[str]:
        """All addresses of a name, at least one; raises `NameNotResolved`."""
        result = await self._results.get((tenant, host), lambda: self._look_up(host, tenant))
        if result.problem:
            raise NameNotResolved(result.problem)
        return result.addresses

    async def close(self) -> None:
        """Give up all lookups."""
        await cancel(self._running)
        for channel in self._channels:
            await channel.close()

    async def _look_up(self, host: str, tenant: str) -> _Result:
        try:
            async with asyncio.timeout(MAX_SECONDS):
                await self._slots.acquire(tenant, 1, seconds=None)
                return await asyncio.shield(self._start(host, tenant))
        except TimeoutError:
            return _Result((), f"the name servers did not respond within {MAX_SECONDS:g} s")

    def _start(self, host: str, tenant: str) -> asyncio.Task[_Result]:
        """The lookup. It holds its slot until it has ended, even if no caller waits any more: c-ares cancels none."""
        lookup = asyncio.create_task(self._query(host))
        self._running.add(lookup)
        lookup.add_done_callback(self._running.discard)
        lookup.add_done_callback(lambda _: self._slots.release(tenant, 1))
        return lookup

    async def _query(self, host: str) -> _Result:
        try:
            found = await self._current_channel().getaddrinfo(host, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            return _Result((), str(error.args[-1]))
        addresses = [node.addr[0].decode() for node in found.nodes]
        return _Result(addresses, None if addresses else "it has no address")

    def _current_channel(self) -> aiodns.DNSResolver:
        """c-ares caches without bound, so a channel is replaced after a while; its lookups keep it until they end."""
        self._uses += 1
        if self._channel is None or self._uses > CHANNEL_USES:
            self._uses = 1
            self._channel = _channel(self._servers)
            self._channels.add(self._channel)
        return self._channel


def _channel(servers: NameServers | None) -> aiodns.DNSResolver:
    if servers is None:
        return aiodns.DNSResolver(timeout=ATTEMPT_SECONDS, tries=ATTEMPTS, flags=FLAGS)
    return aiodns.DNSResolver(
        servers.addresses,
        timeout=ATTEMPT_SECONDS,
        tries=ATTEMPTS,
        flags=FLAGS,
        domains=servers.search,
        ndots=servers.ndots,
    )


def _expiry(_key: tuple[str, str], result: _Result, now: float) -> float:
    return now + (FAILED_SECONDS if result.problem else FOUND_SECONDS)


async def addresses_of(hosts: Iterable[str], lookups: Lookups | None = None) -> frozenset[IPAddress]:
    """The addresses of the platform's own hosts, for `Guard`'s `foreign`: any name outside may lead to them.

    Loopback addresses are left out, those have a rule of their own; so are names that cannot be resolved.
    """
    opened = lookups or Lookups()
    found: set[IPAddress] = set()
    try:
        for host in hosts:
            try:
                addresses = await opened.addresses(host, tenant="")
            except NameNotResolved:
                log.warning(
                    "a host of the platform cannot be resolved; names that lead to it are not refused", host=host
                )
                continue
            found.update(ip_address(address.partition("%")[0]) for address in addresses)
    finally:
        if lookups is None:
            await opened.close()
    return frozenset(address for address in found if not address.is_loopback)
