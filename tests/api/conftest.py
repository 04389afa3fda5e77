"""Fixtures of the api's tests."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agentic_core.cluster import Cluster
from tests.api import harness
from tests.api.harness import Api, World
from tests.support.apiserver import ControlPlane
from tests.support.postgres import PostgresDatabase


@pytest.fixture
async def api(plane: ControlPlane, postgres: PostgresDatabase, tmp_path: Path) -> AsyncGenerator[Api]:
    """A running api."""
    async with harness.running(plane, postgres, tmp_path / "secrets") as started:
        yield started


@pytest.fixture
async def world(plane: ControlPlane) -> AsyncGenerator[World]:
    """What the operator would do."""
    async with Cluster(plane.credentials) as cluster:
        yield World(cluster)
