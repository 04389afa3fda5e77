"""The process around the engine, as Kopf runs it against a real API server: how it starts, serves and ends."""

import asyncio
import json
import urllib.request
from typing import Any, cast

import pytest

from agentic_operator.engine.engine import Engine
from agentic_operator.engine.leader import LeaderLease
from agentic_operator.engine.metrics import OperatorMetrics
from agentic_operator.process import OperatorProcess
from agentic_operator.settings import OperatorSettings
from tests.support.apiserver import ControlPlane
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until


class World:
    """A lease that is free and an engine that does what the test says; what happened, in its order."""

    def __init__(self, plane: ControlPlane, failure: Exception | None = None) -> None:
        self.happened: list[str] = []
        self.synced = asyncio.Event()
        self.failure = failure
        self.port = free_port()
        settings = OperatorSettings(
            host="127.0.0.1", port=free_port(), liveness_port=self.port, runtime_image="none", run_token_keys="none"
        )
        self.process = OperatorProcess(
            settings,
            plane.credentials,
            lease=cast("LeaderLease", self),
            engine=cast("Engine", self),
            metrics=OperatorMetrics(),
        )

    def may_write(self) -> bool:
        return True

    async def acquire(self) -> None:
        self.happened.append("acquired")

    async def hold(self) -> None:
        await asyncio.Event().wait()

    async def release(self) -> None:
        self.happened.append("released")

    async def run(self, stop: asyncio.Event) -> None:
        """The engine: reconciles in flight take a moment after `stop`."""
        self.synced.set()
        if self.failure:
            raise self.failure
        await stop.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        self.happened.append("finished")

    async def health(self) -> dict[str, Any] | None:
        """What the liveness endpoint reports, once it is there."""

        def get() -> dict[str, Any] | None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=PATIENCE) as response:
                    found: dict[str, Any] = json.load(response)
                    return found
            except OSError:
                return None

        return await asyncio.to_thread(get)


async def test_it_is_alive_and_hands_the_lease_over_only_after_reconciles_in_flight(plane: ControlPlane) -> None:
    world = World(plane)
    running = asyncio.create_task(world.process.run())
    assert await until(world.health, "the liveness endpoint") == {"leader": True, "synced": True}
    world.process._ended.set()
    await asyncio.wait_for(running, PATIENCE)
    assert world.happened == ["acquired", "finished", "released"]


async def test_an_engine_that_fails_ends_the_process_with_its_error(plane: ControlPlane) -> None:
    world = World(plane, RuntimeError("a reflector crashed"))
    with pytest.raises(RuntimeError, match="a reflector crashed"):
        await asyncio.wait_for(world.process.run(), PATIENCE)
    assert world.happened == ["acquired", "released"]


async def test_a_port_that_is_taken_ends_the_process_at_its_start(plane: ControlPlane) -> None:
    first, second = World(plane), World(plane)
    second.process._settings = first.process._settings
    running = asyncio.create_task(first.process.run())
    await until(first.health, "the liveness endpoint")
    with pytest.raises(Exception, match="handlers failed"):
        await asyncio.wait_for(second.process.run(), PATIENCE)
    assert second.happened == []
    first.process._ended.set()
    await asyncio.gather(running, return_exceptions=True)
