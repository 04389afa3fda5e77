"""Which runs are in progress: admits them, counts them, and ends them when the server shuts down.

The endpoint enters each run here; `main` drains.
"""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

from agentic_runtime.failures import Busy, Draining
from agentic_runtime.metrics import RuntimeMetrics


class ActiveRuns:
    """The runs of this process."""

    def __init__(self, capacity: int, metrics: RuntimeMetrics) -> None:
        self._capacity = capacity
        self._metrics = metrics
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        """Whether new runs are refused."""
        self.interrupted = asyncio.Event()
        """Set when runs in progress must end now."""

    def check(self) -> None:
        """Raises when no run can be admitted."""
        if self.draining:
            raise Draining("This runtime is shutting down; send the run again to another one.")
        if self._count >= self._capacity:
            raise Busy(f"This runtime already has {self._count} runs in progress.")

    @contextmanager
    def admit(self) -> Generator[None]:
        """A run in progress, inside the block."""
        self.check()
        self._count += 1
        self._idle.clear()
        self._metrics.in_flight.inc()
        started = time.perf_counter()
        try:
            yield
        finally:
            self._count -= 1
            self._metrics.in_flight.dec()
            self._metrics.duration.observe(time.perf_counter() - started)
            if not self._count:
                self._idle.set()

    def ended(self, outcome: str) -> None:
        """A run ended; the outcome is `succeeded`, `cancelled` or an error code."""
        self._metrics.runs.labels(outcome).inc()

    async def drain(self, *, grace: float) -> None:
        """Refuse new runs; let those in progress go on for `grace` seconds, then interrupt them and wait."""
        self.draining = True
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            self.interrupted.set()
            await self._idle.wait()
