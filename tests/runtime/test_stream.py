"""How events become writes, on an ASGI connection that the test plays."""

import asyncio
from typing import Any

from agentic_core.contract import MessageDelta, RunRequest
from agentic_runtime.loop import RunJob
from agentic_runtime.metrics import RuntimeMetrics
from agentic_runtime.runs import ActiveRuns
from agentic_runtime.stream import MAX_UNSENT, RunStream
from tests.runtime.harness import deltas, parse, request


class Connection:
    """A client that reads when `reading` is set."""

    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self.written: list[bytes] = []

    async def send(self, message: Any) -> None:
        if body := message.get("body"):
            await self.reading.wait()
            self.written.append(body)

    async def receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError("this is never set")


class Burst:
    """A loop that says much at once, and counts what it could."""

    def __init__(self, pieces: int, size: int) -> None:
        self.pieces = [f"{number:0{size}}" for number in range(pieces)]
        self.said = 0

    async def run(self, run: RunJob) -> str:
        for piece in self.pieces:
            await run.emit(MessageDelta(text=piece))
            self.said += 1
        return "".join(self.pieces)

    async def close(self) -> None:
        """Nothing is open."""


async def serve(burst: Burst, connection: Connection) -> str:
    """The outcome of a run."""
    stream = RunStream(connection.receive, connection.send, runs=ActiveRuns(1, RuntimeMetrics()), keepalive_seconds=5)
    return await stream.serve(burst, RunRequest.model_validate(request("hello")), "token")


async def test_a_burst_is_one_write_and_stays_in_order() -> None:
    connection, burst = Connection(), Burst(pieces=50, size=8)
    connection.reading.set()
    assert await serve(burst, connection) == "succeeded"
    assert deltas(parse(b"".join(connection.written))) == "".join(burst.pieces)
    assert len(connection.written) == len(("the burst", "the end"))


async def test_a_client_that_does_not_read_stops_the_loop() -> None:
    connection, burst = Connection(), Burst(pieces=1000, size=1024)
    serving = asyncio.create_task(serve(burst, connection))
    said = -1
    while said != burst.said:  # until it makes no progress any more
        said = burst.said
        for _ in range(100):
            await asyncio.sleep(0)
    assert 0 < burst.said * 1024 <= 2 * MAX_UNSENT
    connection.reading.set()
    assert await serving == "succeeded"
    assert deltas(parse(b"".join(connection.written))) == "".join(burst.pieces)
