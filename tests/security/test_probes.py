"""A tenant with many dead providers takes its own share of the operator's probes, and no more."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentic_core.egress import Guard
from agentic_crds.model_provider import ModelProviderSpec, ProviderType
from agentic_operator.controllers.model_provider.observed import PENDING
from agentic_operator.controllers.model_provider.probe import MAX_PROBES_PER_TENANT, TIMEOUT, Prober, ProbeTarget
from tests.security.doors import inside
from tests.support.waiting import until


class Dead:
    """A server that accepts connections and never responds."""

    port = 0
    open = 0
    most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep the connection until the client closes it."""
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while await reader.read(1024):
                pass
        except OSError:
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def dead() -> AsyncGenerator[Dead]:
    """The server, on a port of its own."""
    found = Dead()
    async with await asyncio.start_server(found.serve, "127.0.0.1", 0) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


def target(tenant: str, uid: str, port: int) -> ProbeTarget:
    """A provider of the tenant on this machine."""
    url = f"http://127.0.0.1:{port}/{uid}"
    spec = ModelProviderSpec.model_construct(type=ProviderType.OPENAI_COMPATIBLE, base_url=url, models=[])
    return ProbeTarget(tenant, uid, spec, "key")


async def test_a_thousand_dead_providers_do_not_delay_the_probe_of_another_tenant() -> None:
    async with dead() as server, inside() as provider:
        prober = Prober(Guard(private=True, loopback=True))
        for number in range(1000):
            prober.last_result(target("alpha", f"dead-{number}", server.port))
        await until(lambda: _async(server.open == MAX_PROBES_PER_TENANT), "the first probes of dead providers")
        begun = time.monotonic()
        good = target("beta", "good", provider.port)
        await until(lambda: _async(prober.last_result(good)[0] is not PENDING), "the probe of the other tenant")
        assert prober.last_result(good)[0].reason == "Answers"
        assert time.monotonic() - begun < TIMEOUT / 2
        assert server.most == MAX_PROBES_PER_TENANT
        await prober.close()


async def _async(value: bool) -> bool:
    return value
