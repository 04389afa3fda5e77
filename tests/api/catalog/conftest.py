"""A catalog of two tenants, each with ready agents."""

import pytest

from agentic_api.catalog.catalog import Catalog
from agentic_api.catalog.definitions import Definitions
from agentic_api.catalog.resolved import ResolvedAgents
from agentic_crds import Agent, Tenant
from tests.api.catalog.objects import Server, agent, revision, tenant


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def catalog(server: Server) -> Catalog:
    filled = Catalog()
    filled.stores[Tenant].put(tenant("acme", default="Active", second="Active", stolen="Conflict"))
    filled.stores[Tenant].put(tenant("rival", default="Active"))
    for namespace in ("acme-default", "acme-second", "acme-stolen", "rival-default"):
        filled.stores[Agent].put(
            agent(namespace, "a", readyRevision="a-1", endpoint=f"http://agent-runtime.{namespace}.svc:8080/")
        )
        server.put(revision(namespace, "a-1", prompt=namespace))
    return filled


@pytest.fixture
def resolved(catalog: Catalog, server: Server) -> ResolvedAgents:
    return ResolvedAgents(catalog, Definitions(server.get))
