"""The process: it starts, and it drains after SIGTERM."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from agentic_core.contract import RUN_PATH
from tests.requirements import requirement
from tests.runtime.harness import environment, first_event, headers_of, request
from tests.runtime.provider import Provider, Reply, openai_end, openai_pieces, openai_text
from tests.support import processes
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).parent / "agentic-runtime"


@dataclass
class Process:
    """A running `agentic-runtime`."""

    process: processes.Program
    http: httpx2.AsyncClient

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def status(self, path: str) -> int:
        """Status of an answer, 0 when there is none."""
        try:
            return (await self.http.get(path)).status_code
        except httpx2.TransportError:
            return 0

    async def ready(self) -> bool:
        return await self.status("/readyz") == 200

    async def draining(self) -> bool:
        return await self.status("/readyz") == 503


@asynccontextmanager
async def started(model: Provider, **settings: str) -> AsyncGenerator[Process]:
    port = free_port()
    with processes.program([PROGRAM], environment(model.url, port, **settings)) as process:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            running = Process(process, http)
            await until(running.ready, "the runtime to be ready")
            yield running


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


async def test_it_is_ready_soon_and_stays_small(model: Provider) -> None:
    model.replies.append(openai_text("ok"))
    async with started(model) as runtime:
        assert cpu_seconds(runtime.process.pid) < 1.2
        answer = await runtime.http.post(RUN_PATH, json=request(), headers=headers_of())
        assert '"final"' in answer.text
        assert resident_megabytes(runtime.process.pid) < 150


@requirement("stateless")
async def test_runs_in_progress_finish_after_sigterm(model: Provider) -> None:
    model.replies.append(Reply([*openai_pieces(*["x"] * 100), *openai_end("stop")], gap=0.01))
    async with (
        started(model, AGENTIC_DRAIN_LINGER="0") as runtime,
        runtime.http.stream("POST", RUN_PATH, json=request(), headers=headers_of()) as answer,
    ):
        lines = answer.aiter_lines()
        await first_event(lines)
        runtime.stop()
        await until(runtime.draining, "readiness to fail")
        refused = await runtime.http.post(RUN_PATH, json=request(), headers=headers_of())
        assert (refused.status_code, refused.json()["code"]) == (503, "runtime_draining")
        assert refused.headers["retry-after"] == "1"
        assert (await runtime.http.get("/healthz")).status_code == 200
        rest = [json.loads(line) async for line in lines if line]
        assert rest[-1] == {"type": "final", "output": "x" * 100}
        assert await processes.ended(runtime.process) == 0


async def test_runs_that_take_too_long_are_interrupted(model: Provider) -> None:
    model.replies.append(Reply(openai_pieces("so far"), hang=True))
    async with (
        started(model, AGENTIC_DRAIN_LINGER="0", AGENTIC_DRAIN_GRACE="0.3") as runtime,
        runtime.http.stream("POST", RUN_PATH, json=request(), headers=headers_of()) as answer,
    ):
        lines = answer.aiter_lines()
        assert (await first_event(lines))["text"] == "so far"
        runtime.stop()
        rest = [json.loads(line) async for line in lines if line]
        assert [event["type"] for event in rest] == ["error"]
        assert rest[0]["error"]["code"] == "interrupted"
        await asyncio.wait_for(model.left.wait(), PATIENCE)
        assert await processes.ended(runtime.process) == 0


async def test_an_idle_process_still_answers_while_it_lingers(model: Provider) -> None:
    model.replies.append(openai_text("ok"))
    async with started(model, AGENTIC_DRAIN_LINGER="2") as runtime:
        answer = await runtime.http.post(RUN_PATH, json=request(), headers=headers_of())
        assert answer.status_code == 200
        runtime.stop()
        await until(runtime.draining, "readiness to fail")
        assert await processes.ended(runtime.process) == 0


async def test_a_second_signal_stops_at_once(model: Provider) -> None:
    model.replies.append(Reply(openai_pieces("so far"), hang=True))
    async with (
        started(model, AGENTIC_DRAIN_LINGER="600", AGENTIC_DRAIN_GRACE="600") as runtime,
        runtime.http.stream("POST", RUN_PATH, json=request(), headers=headers_of()) as answer,
    ):
        await first_event(answer.aiter_lines())
        runtime.stop()
        await until(runtime.draining, "readiness to fail")
        runtime.stop()
        await processes.ended(runtime.process)
