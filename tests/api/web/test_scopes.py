"""A credential that is good for parts of the API only opens those."""

from types import SimpleNamespace
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from agentic_api.identity.authenticator import Authenticator
from agentic_api.identity.principal import Caller, Principal, Proof
from agentic_api.memory import RequestMemory
from agentic_api.web import problems
from agentic_api.web.auth import AnyCaller, Viewer
from agentic_api.web.middleware.record import Recording
from agentic_core.auth.api_keys import Role
from agentic_core.clock import Clock
from agentic_core.web.metrics import HttpMetrics
from agentic_core.web.rate_limit import RateLimiter

SCOPES: dict[str, frozenset[str] | None] = {
    "all": None,
    "runs": frozenset({"runs"}),
    "both": frozenset({"runs", "agents"}),
    "nothing": frozenset(),
}


class Named:
    """Credentials by the names of their scopes."""

    hint = "Authorization: Bearer <scopes>"

    async def caller(self, credential: str) -> Caller | None:
        return Principal(
            subject=credential,
            proof=Proof.API_KEY,
            scopes=SCOPES[credential],
            tenant_id=UUID(int=1),
            tenant="acme",
            default_namespace="acme-default",
            roles=frozenset({Role.OWNER}),
        )


def application() -> FastAPI:
    """An endpoint of each of two parts, for callers of any kind and of a tenant."""
    metrics = HttpMetrics(CollectorRegistry())
    app = FastAPI()
    app.add_middleware(Recording, metrics=metrics)
    problems.install(app)
    app.state.context = SimpleNamespace(
        authenticator=Authenticator([Named()]),
        limiter=RateLimiter(per_minute=0, clock=Clock()),
        tenant_limiter=RateLimiter(per_minute=0, clock=Clock()),
        http_metrics=metrics,
        memory=RequestMemory(64 * 1024 * 1024),
    )
    for tag in ("runs", "agents"):
        router = APIRouter(tags=[tag])

        @router.get(f"/{tag}")
        async def tenants(caller: Viewer) -> str:
            return caller.subject

        @router.get(f"/any/{tag}")
        async def anybodys(caller: AnyCaller) -> str:
            return caller.subject

        app.include_router(router)
    return app


@pytest.mark.parametrize("prefix", ["", "/any"])
@pytest.mark.parametrize(
    ("credential", "runs", "agents"),
    [("all", 200, 200), ("runs", 200, 403), ("both", 200, 200), ("nothing", 403, 403)],
)
async def test_a_credential_opens_the_parts_of_its_scopes(credential: str, runs: int, agents: int, prefix: str) -> None:
    transport = httpx2.ASGITransport(application())
    headers = {"Authorization": f"Bearer {credential}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        assert (await client.get(f"{prefix}/runs")).status_code == runs
        refused = await client.get(f"{prefix}/agents")
    assert refused.status_code == agents
    if agents == 403:
        assert "needs a credential for agents" in refused.json()["detail"]
