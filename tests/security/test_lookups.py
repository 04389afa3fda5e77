"""A tenant whose names are at a silent name server delays no other, takes no thread, and gains nothing by giving up."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from agentic_core.egress import Guard, GuardedClient, Lookups, lookups
from agentic_core.egress.lookups import MAX_LOOKUPS_PER_TENANT, NameNotResolved
from agentic_core.tasks import cancel
from agentic_gateway.call import upstream
from agentic_gateway.call.upstream import AttemptProgress
from tests.security.doors import inside
from tests.support.dns import NameServer, name_server
from tests.support.waiting import until

SOON = 1.0
"""Seconds: far more than a lookup takes, far less than a silent name server is waited for."""
OTHERS = [f"b{number}.test" for number in range(20)]


@asynccontextmanager
async def resolving() -> AsyncGenerator[tuple[NameServer, Lookups]]:
    """Lookups at a name server that knows the names of `OTHERS`."""
    async with name_server() as server:
        server.zone |= {name: ["10.0.0.1"] for name in OTHERS}
        found = Lookups(server.config)
        try:
            yield server, found
        finally:
            await found.close()


def threads() -> int:
    """Threads of this process, those of C libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


def silent_names(server: NameServer) -> set[str]:
    """Names that the server was asked for and does not respond to."""
    return {name for name, _ in server.questions if name.endswith(server.silent)}


async def test_a_silent_name_server_delays_only_the_tenant_whose_names_it_serves() -> None:
    async with resolving() as (server, found):
        await found.addresses("localhost", tenant="beta")
        before = threads()
        attack = [
            asyncio.create_task(found.addresses(f"x{number}.silent.test", tenant="alpha")) for number in range(100)
        ]
        await until(lambda: _async(len(silent_names(server)) >= MAX_LOOKUPS_PER_TENANT), "the attack to begin")
        slowest = 0.0
        for name in OTHERS:
            begun = time.monotonic()
            assert await found.addresses(name, tenant="beta") == ["10.0.0.1"]
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < SOON
        assert not any(task.done() for task in attack)
        assert len(silent_names(server)) == MAX_LOOKUPS_PER_TENANT
        assert threads() == before
        await cancel(attack)


async def test_a_name_that_another_tenant_queues_for_is_not_waited_for() -> None:
    async with resolving() as (server, found):
        names = [*(f"x{number}.silent.test" for number in range(MAX_LOOKUPS_PER_TENANT)), OTHERS[0]]
        attack = [asyncio.create_task(found.addresses(name, tenant="alpha")) for name in names]
        await until(lambda: _async(len(silent_names(server)) == MAX_LOOKUPS_PER_TENANT), "the attack to begin")
        async with asyncio.timeout(SOON):
            assert await found.addresses(OTHERS[0], tenant="beta") == ["10.0.0.1"]
        assert not attack[-1].done()
        await cancel(attack)


async def test_lookups_of_callers_that_have_given_up_still_count() -> None:
    async with resolving() as (server, found):
        for attempt in range(3):
            callers = [
                asyncio.create_task(found.addresses(f"x{attempt}-{number}.silent.test", tenant="alpha"))
                for number in range(MAX_LOOKUPS_PER_TENANT)
            ]
            await until(lambda: _async(len(silent_names(server)) >= MAX_LOOKUPS_PER_TENANT), "lookups to begin")
            await found.addresses(OTHERS[attempt], tenant="beta")  # whose question is sent after theirs
            await cancel(callers)
        assert len(silent_names(server)) == MAX_LOOKUPS_PER_TENANT


async def test_a_silent_name_server_is_given_up_and_not_asked_again_at_once() -> None:
    async with resolving() as (server, found):
        begun = time.monotonic()
        with pytest.raises(NameNotResolved):
            await found.addresses("x.silent.test", tenant="alpha")
        assert time.monotonic() - begun < lookups.MAX_SECONDS + SOON
        asked = server.asked("x.silent.test")
        with pytest.raises(NameNotResolved):
            await found.addresses("x.silent.test", tenant="alpha")
        assert server.asked("x.silent.test") == asked


async def test_a_name_is_looked_up_once_for_all_who_need_it() -> None:
    async with resolving() as (server, found):
        await asyncio.gather(*(found.addresses(OTHERS[0], tenant="beta") for _ in range(50)))
        await found.addresses(OTHERS[0], tenant="beta")
        assert server.asked(OTHERS[0]) == len(("A", "AAAA"))
        for _ in range(2):
            with pytest.raises(NameNotResolved, match="not found"):
                await found.addresses("gone.test", tenant="beta")
        assert server.asked("gone.test") == len(("A", "AAAA"))


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("model", ["10.0.0.2"]),
        ("model.acme-default", ["10.0.0.2"]),
        ("model.acme-default.svc", ["10.0.0.2"]),
        ("model.acme-default.svc.cluster.local.", ["10.0.0.2"]),
        ("both.test", ["10.0.0.3", "2001:db8::3"]),
        ("localhost", ["127.0.0.1", "::1"]),
    ],
)
async def test_names_are_found_as_a_pod_finds_them(host: str, addresses: list[str]) -> None:
    """With the search domains and `ndots` of a pod, and the hosts file."""
    async with resolving() as (server, found):
        server.zone["model.acme-default.svc.cluster.local"] = ["10.0.0.2"]
        server.zone["both.test"] = ["10.0.0.3", "2001:db8::3"]
        assert sorted(await found.addresses(host, tenant="acme")) == addresses


async def test_channels_are_replaced_and_lookups_of_the_old_one_end() -> None:
    async with resolving() as (server, found):
        waiting = asyncio.create_task(found.addresses("x.silent.test", tenant="alpha"))
        await until(lambda: _async(bool(silent_names(server))), "the lookup to begin")
        found._uses = lookups.CHANNEL_USES
        assert await found.addresses(OTHERS[0], tenant="beta") == ["10.0.0.1"]
        assert len(found._channels) == 2
        with pytest.raises(NameNotResolved):
            await waiting
        del waiting
        await until(lambda: _async(len(found._channels) == 1), "the old channel to be closed")


async def test_nine_silent_names_stop_no_calls_of_another_tenant_of_the_gateway() -> None:
    async with resolving() as (server, found), inside() as provider:
        server.zone["model.test"] = ["127.0.0.1"]
        guard = Guard(private=True, loopback=True)
        async with upstream.client(guard, connect=5, silence=5, per_host=10, lookups=found) as http:
            attack = [asyncio.create_task(_post(http, "alpha", f"http://x{n}.silent.test:1/v1")) for n in range(9)]
            await until(lambda: _async(len(silent_names(server)) == 9), "the attack to begin")
            async with asyncio.timeout(SOON):
                assert await _post(http, "beta", f"http://model.test:{provider.port}/v1") == "SECRET"
            results = await asyncio.gather(*attack, return_exceptions=True)
    assert all(isinstance(result, aiohttp.ClientConnectorDNSError) for result in results), results


async def _post(http: GuardedClient, tenant: str, url: str) -> str:
    sending = AttemptProgress()
    async with await http.request("POST", url, tenant=tenant, data=b"{}", trace_request_ctx=sending) as response:
        return await response.text()


async def _async(value: bool) -> bool:
    return value
