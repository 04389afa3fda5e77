"""Fixtures of the tests of runs: an api in this process, its tenants, and the runtime behind it."""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from agentic_core.db import Database
from tests.api.runs import runtime as stand_in
from tests.api.runs import stage
from tests.api.runs.runtime import Runtime
from tests.api.runs.stage import Api, Tenant
from tests.support.postgres import PostgresDatabase


@pytest.fixture
async def runtime() -> AsyncGenerator[Runtime]:
    """The runtime of all agents."""
    async with stand_in.runtime() as started:
        yield started


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    """The tenant that acts."""
    return await stage.tenant(database)


@pytest.fixture
async def stranger(database: Database) -> Tenant:
    """Another tenant."""
    return await stage.tenant(database)


@pytest.fixture
async def runs_api(
    postgres: PostgresDatabase, runtime: Runtime, tenant: Tenant, stranger: Tenant
) -> AsyncGenerator[Api]:
    """A replica of the api."""
    catalog = stage.catalog_of([tenant, stranger], endpoint=runtime.url)
    async with stage.serving(postgres.api, catalog) as started:
        yield started


@pytest.fixture
async def client(runs_api: Api, tenant: Tenant) -> AsyncGenerator[httpx2.AsyncClient]:
    """The acting tenant's client."""
    async with runs_api.client(tenant.key) as opened:
        yield opened


@pytest.fixture
async def foreign(runs_api: Api, stranger: Tenant) -> AsyncGenerator[httpx2.AsyncClient]:
    """The other tenant's client."""
    async with runs_api.client(stranger.key) as opened:
        yield opened
