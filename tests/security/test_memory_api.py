"""What code in a runtime pod, a viewer, or a stranger can make the api hold in memory: measured by the kernel."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import sqlalchemy as sa

from agentic_api.runs.lifecycle.sweep import WITHOUT_TRANSCRIPT
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import StoredEvent
from agentic_core.contract import Final
from agentic_core.db import Database, tables
from tests.api.runs import stage
from tests.api.runs.runtime import Answer, Runtime
from tests.api.runs.runtime import runtime as hostile_runtime
from tests.api.runs.stage import ReplicaProcess, Tenant
from tests.api.runs.test_journal import new_run
from tests.support import memory
from tests.support.memory import MIB
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import until

pytestmark = pytest.mark.slow

EXECUTE = "/api/v1/agents/helper/execute"
LIMIT = 1024 * MIB
"""The chart's limit of the api's memory."""
LINE = 4 * MIB - 400
ABUSE = 250 * MIB
"""What all of an attack may add to a replica that has just started."""


def tool_call(number: int, values: int, *, name: str = "x") -> bytes:
    """A line of a runtime whose arguments have so many empty lists."""
    arguments = b'{"a":[' + b",".join([b"[]"] * values) + b"]}"
    return b'{"type":"tool.call","call":{"id":"c%d","name":"%s","arguments":%s}}\n' % (number, name.encode(), arguments)


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    """The tenant of the attacker."""
    return await stage.tenant(database)


@pytest.fixture
async def runtime() -> AsyncGenerator[Runtime]:
    """The code in its runtime pods."""
    async with hostile_runtime() as started:
        yield started


@pytest.fixture
async def other(database: Database) -> Tenant:
    """Another tenant of the same replica."""
    return await stage.tenant(database)


@pytest.fixture
async def replica(
    postgres: PostgresDatabase, tenant: Tenant, other: Tenant, runtime: Runtime
) -> AsyncGenerator[ReplicaProcess]:
    """A replica in a process of its own, bounded as in production."""
    async with stage.replica_process(postgres.api, [tenant, other], endpoint=runtime.url, ample=True) as started:
        async with started.api.client(other.key) as client:
            assert (await client.get("/api/v1/agents")).status_code == 200
        memory.reset_peak(started.process.pid)
        yield started


async def while_other_works(replica: ReplicaProcess, other: Tenant, attack: asyncio.Task[Any]) -> int:
    """How many requests of another tenant succeeded during an attack; none failed."""
    served = 0
    async with replica.api.client(other.key) as client:
        while not attack.done():
            response = await client.post(EXECUTE, json={"input": "hello"})
            assert response.json()["status"] == "succeeded", response.text
            served += 1
    return served


def added(replica: ReplicaProcess, before: int) -> int:
    """Bytes that the replica has held at most, beyond what it held before."""
    return memory.peak(replica.process.pid) - before


@pytest.mark.parametrize("name", ["x", "\\u0000"])
async def test_lines_of_tiny_values_end_the_run_and_not_the_replica(
    replica: ReplicaProcess, tenant: Tenant, other: Tenant, runtime: Runtime, name: str
) -> None:
    async def hostile(answer: Answer) -> None:
        for number in range(11):
            await answer.write(tool_call(number, LINE // 3, name=name))
        await answer.send(Final(output="done"))

    runtime.scripts["attack"] = hostile
    before = memory.resident(replica.process.pid)
    async with replica.api.client(tenant.key) as client:
        attack = asyncio.create_task(client.post(EXECUTE, json={"input": "attack"}))
        await while_other_works(replica, other, attack)
        run = attack.result().json()
    assert (run["status"], run["error"]["code"]) == ("failed", "runtime_protocol")
    assert "more than 50000 values" in run["error"]["message"]
    assert added(replica, before) < ABUSE / 2


async def test_a_run_is_charged_for_the_objects_that_its_events_become(
    replica: ReplicaProcess, tenant: Tenant, other: Tenant, runtime: Runtime
) -> None:
    async def hostile(answer: Answer) -> None:
        for number in range(400):
            await answer.write(tool_call(number, 12_000))
        await answer.send(Final(output="done"))

    runtime.scripts["attack"] = hostile
    before = memory.resident(replica.process.pid)
    async with replica.api.client(tenant.key) as client:
        attack = asyncio.create_task(client.post(EXECUTE, json={"input": "attack"}))
        served = await while_other_works(replica, other, attack)
        run = attack.result().json()
    assert (run["status"], run["error"]["code"]) == ("failed", "memory_exceeded")
    assert served > 0
    assert added(replica, before) < ABUSE


async def poisoned(database: Database, tenant: Tenant, event: Callable[[int], bytes], *, events: int) -> Any:
    """A run of a dead replica that has stored these events."""
    run = new_run(tenant, lease_seconds=60.0)
    async with database.transaction(tenant.id) as transaction:
        assert await Journal(transaction).begin(run)
    for number in range(1, events + 1):
        stored = StoredEvent(number, "tool.call", event(number).decode())
        async with database.transaction(tenant.id) as transaction:
            assert await Journal(transaction).record(run.id, run.replica or uuid4(), [stored])
    async with database.session(tenant.id) as session:
        expired = sa.func.now() - sa.text("interval '1 second'")
        await session.execute(sa.update(tables.runs).where(tables.runs.c.id == run.id).values(lease_expires_at=expired))
    return run


async def closed(database: Database, tenant: Tenant, run_id: Any) -> sa.Row[Any] | None:
    """The row of a run once it has ended."""
    async with database.session(tenant.id) as session:
        row = (await session.execute(sa.select(tables.runs).where(tables.runs.c.id == run_id))).one()
    return row if row.finished_at else None


async def test_a_run_whose_events_do_not_fit_into_memory_is_closed_without_its_transcript(
    postgres: PostgresDatabase, database: Database, tenant: Tenant, runtime: Runtime
) -> None:
    run = await poisoned(database, tenant, lambda number: tool_call(number, LINE // 3), events=14)
    healthy = await poisoned(database, tenant, lambda number: tool_call(number, 1), events=2)
    async with stage.replica_process(postgres.api, [tenant], endpoint=runtime.url, ample=True) as replica:
        row = await until(lambda: closed(database, tenant, run.id), what="the poisoned run to be closed")
        ended = await until(lambda: closed(database, tenant, healthy.id), what="the other run to be closed")
        assert replica.process.poll() is None
        assert memory.peak(replica.process.pid) < LIMIT / 2
    assert (row.status, row.error_message, row.last_seq) == ("interrupted", WITHOUT_TRANSCRIPT.message, 15)
    assert (ended.status, ended.last_seq) == ("interrupted", 3)
    assert ended.error_message != WITHOUT_TRANSCRIPT.message


async def test_events_that_many_replay_are_held_within_the_share_of_their_tenant(
    replica: ReplicaProcess, database: Database, tenant: Tenant, other: Tenant
) -> None:
    run = await poisoned(database, tenant, lambda number: tool_call(number, LINE // 3), events=8)
    await until(lambda: closed(database, tenant, run.id), what="the run to be closed")
    memory.reset_peak(replica.process.pid)
    before = memory.resident(replica.process.pid)

    async def follow() -> int:
        seen = 0
        async with (
            replica.api.client(tenant.key) as client,
            client.stream("GET", f"/api/v1/runs/{run.id}/events") as sse,
        ):
            async for part in sse.aiter_bytes():
                seen += part.count(b"event: tool.call")
        return seen

    following = [asyncio.create_task(follow()) for _ in range(24)]
    served = await while_other_works(replica, other, following[0])
    assert set(await asyncio.gather(*following)) == {8}
    assert served > 0
    assert added(replica, before) < ABUSE


async def test_a_replica_that_dies_of_a_run_leaves_a_trace_and_the_third_closes_it(
    postgres: PostgresDatabase, database: Database, tenant: Tenant, runtime: Runtime
) -> None:
    run = await poisoned(database, tenant, lambda number: b'{"type":"tool.call","call":%d}' % number, events=1)
    async with database.session(tenant.id) as session:
        await session.execute(sa.update(tables.runs).where(tables.runs.c.id == run.id).values(sweeps=2))
    async with stage.replica_process(postgres.api, [tenant], endpoint=runtime.url):
        row = await until(lambda: closed(database, tenant, run.id), what="the run to be closed")
    assert (row.status, row.error_message, row.last_seq) == ("interrupted", WITHOUT_TRANSCRIPT.message, 2)


async def test_reads_of_messages_with_many_values_are_bounded_together(
    replica: ReplicaProcess, database: Database, tenant: Tenant, other: Tenant
) -> None:
    async with replica.api.client(tenant.key) as client:
        run = (await client.post(EXECUTE, json={"input": "hello"})).json()
    calls = [{"id": "c", "name": "x", "arguments": {"a": [[]] * 12_000}}]
    async with database.session(tenant.id) as session:
        values = {"tenant_id": tenant.id, "conversation_id": run["conversation_id"], "run_id": run["id"]}
        for position in range(100, 140):
            row = values | {"position": position, "role": "assistant", "content": "", "tool_calls": calls}
            await session.execute(sa.insert(tables.messages).values(**row))
    before = memory.resident(replica.process.pid)
    path = f"/api/v1/conversations/{run['conversation_id']}"

    async def read() -> list[int]:
        async with replica.api.client(tenant.key) as client:
            return [(await client.get(path)).status_code for _ in range(4)]

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(24)]
        served = group.create_task(while_other_works(replica, other, readers[0]))
    assert {status for reader in readers for status in reader.result()} <= {200, 429}
    assert served.result() > 0
    assert added(replica, before) < ABUSE


async def test_responses_that_are_not_read_hold_the_share_of_their_tenant_only(
    replica: ReplicaProcess, database: Database, tenant: Tenant, other: Tenant
) -> None:
    async with replica.api.client(tenant.key) as client:
        run = (await client.post(EXECUTE, json={"input": "hello"})).json()
    async with database.session(tenant.id) as session:
        values = {"tenant_id": tenant.id, "conversation_id": run["conversation_id"], "run_id": run["id"]}
        row = values | {"position": 100, "role": "assistant", "content": "x" * 3_500_000}
        await session.execute(sa.insert(tables.messages).values(**row))
    path = f"/api/v1/runs/{run['id']}/messages"
    async with replica.api.client(tenant.key) as client:
        large = f"{path}?cursor={(await client.get(path)).json()['next_cursor']}"
    before = memory.resident(replica.process.pid)
    host, port = replica.api.url.removeprefix("http://").split(":")
    request = f"GET {large} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {tenant.key}\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(150):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel would take the response
            connection.connect((host, int(port)))
            connection.sendall(request.encode())
        async with replica.api.client(tenant.key) as client:
            refusal = until(lambda: _refused(client), what="a request of the tenant to be refused")
            attack = asyncio.create_task(refusal)
            assert await while_other_works(replica, other, attack) > 0
        assert attack.result() == "too_much_in_memory"
        assert added(replica, before) < ABUSE


async def _refused(client: httpx2.AsyncClient) -> str | None:
    response = await client.get("/api/v1/runs")
    return str(response.json()["code"]) if response.status_code == 429 else None


async def test_bodies_of_strangers_are_not_read(replica: ReplicaProcess) -> None:
    body = b'{"input":[' + b",".join([b"[]"] * 690_000) + b"]}"
    before = memory.resident(replica.process.pid)

    async def send(credential: str) -> int:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        async with httpx2.AsyncClient(base_url=replica.api.url, headers=headers, trust_env=False) as client:
            return (await client.post(EXECUTE, content=body)).status_code

    for credential in ("", f"agk_{'a' * 16}_{'b' * 43}"):
        assert set(await asyncio.gather(*(send(credential) for _ in range(24)))) == {401}
    assert added(replica, before) < 100 * MIB
