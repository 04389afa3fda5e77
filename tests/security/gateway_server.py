"""The gateway as a process, with many tenants: `python -m tests.security.gateway_server PROVIDER_URL TENANTS`.

The program is the real one but for the API server. Each tenant has a provider for each behaviour of `provider.py`.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from agentic_core import names, telemetry
from agentic_gateway.app import GatewayContext
from agentic_gateway.composition import GatewayParts, running
from agentic_gateway.main import serve
from agentic_gateway.settings import GatewaySettings
from tests.gateway.support import WrittenDown
from tests.security.provider import BEHAVIOURS


def tenant_id(number: int) -> UUID:
    """The uid of a tenant."""
    return UUID(int=number + 1)


def resources(url: str, tenants: int) -> WrittenDown:
    """Tenants `t0`, `t1`, … with their providers."""
    made = WrittenDown()
    for number in range(tenants):
        made.tenant(f"t{number}", uid=tenant_id(number))
        for behaviour in BEHAVIOURS:
            made.provider(behaviour, f"{url}/{behaviour}", "m", namespace=f"t{number}-default")
    return made


def main() -> None:
    """Serve until SIGTERM."""
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - from the environment
    telemetry.configure(names.GATEWAY, settings)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[GatewayContext]:
        async with running(settings, GatewayParts(resources(sys.argv[1], int(sys.argv[2])))) as context:
            yield context

    serve(settings, lifespan)


if __name__ == "__main__":
    main()
