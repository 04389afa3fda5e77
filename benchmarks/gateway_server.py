"""The gateway as a process of its own, with resources that are written down here; `benchmarks.gateway` starts it.

The program is the real one but for the API server: `python -m benchmarks.gateway_server ECHO_URL`, settings as usual.
"""

import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from agentic_core import names, telemetry
from agentic_core.cluster.kinds import ref_of
from agentic_gateway.app import GatewayContext
from agentic_gateway.composition import GatewayParts, running
from agentic_gateway.main import serve
from agentic_gateway.route.resources import ParsedResources
from agentic_gateway.settings import GatewaySettings

NAMESPACE = "bench-default"
TENANT_ID = "5b2c8d1e-0000-4000-8000-000000000001"
SECRET = {"metadata": {"labels": {"agentic.io/provider-key": "true"}}, "data": {"api-key": "c2stYmVuY2g="}}
API = {"apiVersion": "agentic.io/v1alpha1"}


class BenchmarkResources(ParsedResources):
    """A tenant with two providers: the echo on OpenAI's wire and on Anthropic's."""

    synced = True

    def __init__(self, echo: str) -> None:
        super().__init__()
        tenant = API | {"kind": "Tenant", "metadata": {"name": "bench", "uid": TENANT_ID}, "spec": {}}
        self.note_tenant(ref_of(tenant), tenant)
        for name, kind, url in (("echo", "openaiCompatible", f"{echo}/v1"), ("claude", "anthropic", echo)):
            spec = {
                "type": kind,
                "baseUrl": url,
                "secretRef": {"name": "key"},
                "models": [{"name": "echo", "price": {"input": "2.5", "output": "10"}}],
            }
            metadata = {"name": name, "namespace": NAMESPACE}
            provider = API | {"kind": "ModelProvider", "metadata": metadata, "spec": spec}
            self.note_provider(ref_of(provider), provider)

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """The one key."""
        return SECRET


def main() -> None:
    """Serve until SIGTERM."""
    settings = GatewaySettings()
    telemetry.configure(names.GATEWAY, settings)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[GatewayContext]:
        async with running(settings, GatewayParts(BenchmarkResources(sys.argv[1]))) as context:
            yield context

    serve(settings, lifespan)


if __name__ == "__main__":
    main()
