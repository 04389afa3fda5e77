"""Fixtures of the tests of agents over the API."""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from tests.api.harness import Api, World


@pytest.fixture
async def tenant(world: World) -> str:
    """The name of a new tenant."""
    return await world.tenant()


@pytest.fixture
async def client(api: Api, tenant: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of a developer of the tenant."""
    async with api.client(await api.key(tenant, "developer")) as opened:
        yield opened
