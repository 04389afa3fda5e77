"""Which addresses a host name has, for many tenants at once: a name server that is silent delays only who chose it.

`GuardedClient` resolves names with it; programs look up the platform's own hosts with `addresses_of` when they start.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from cachetools import TLRUCache

from agentic_core import telemetry
from agentic_core.addresses import IPAddress
from agentic_core.fair_slots import FairSlots
from agentic_core.single_flight import SingleFlight

MAX_SECONDS: Final = 4.0
"""Longest time that a caller waits for the addresses of a name."""
FOUND_SECONDS: Final = 10.0
"""For how long addresses are cached."""
FAILED_SECONDS: Final = 3.0
"""For how long it is cached that a name has none, or that its name server is silent."""
MAX_LOOKUPS: Final = 512
MAX_LOOKUPS_PER_TENANT: Final = 16
MAX_CACHED: Final = 4096

log = telemetry.logger(__name__)


class NameNotResolved(OSError):
    """The host name has no address, or its name server did not respond in time."""


@dataclass(frozen=True)
class _Result:
    addresses: Sequence[str]
    problem: str | None = None


class Lookups:
    """The lookups of a process. Open one inside the event loop, and close it.

    Invariants: a tenant has at most `MAX_LOOKUPS_PER_TENANT` lookups at a time, including those whose caller has given
    up, and at most one of a name; no tenant waits for lookups of others while fewer than `MAX_LOOKUPS` are in progress.
    """

    def __init__(self) -> None:
        self._slots = FairSlots(MAX_LOOKUPS, per_tenant=MAX_LOOKUPS_PER_TENANT)
        self._results: SingleFlight[tuple[str, str], _Result] = SingleFlight(TLRUCache(MAX_CACHED, _expiry))

    async def addresses(self, host: str, *, tenant: str) -> Sequence[str]:
        """All addresses of a name, at least one; raises `NameNotResolved`."""
        result = await self._results.get((tenant, host), lambda: self._look_up(host, tenant))
        if result.problem:
            raise NameNotResolved(result.problem)
        return result.addresses

    async def close(self) -> None:
        """Give up all lookups."""

    async def _look_up(self, host: str, tenant: str) -> _Result:
        try:
            async with asyncio.timeout(MAX_SECONDS):
                await self._slots.acquire(tenant)
                lookup = asyncio.ensure_future(self._query(host))
                lookup.add_done_callback(lambda ended: self._ended(ended, tenant))
                return await asyncio.shield(lookup)
        except TimeoutError:
            return _Result((), f"the name servers did not respond within {MAX_SECONDS:g} s")

    async def _query(self, host: str) -> _Result:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except OSError as error:
            return _Result((), error.strerror or "no address")
        return _Result([str(address[0]) for *_, address in found])

    def _ended(self, lookup: asyncio.Future[_Result], tenant: str) -> None:
        """A slot is free when the lookup has ended, whether or not its caller has waited for it."""
        self._slots.release(tenant)
        if not lookup.cancelled():
            lookup.exception()


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
