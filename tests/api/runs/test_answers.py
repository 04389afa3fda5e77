"""No tenant fills a replica with large answers that it does not read."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import httpx2
import pytest
import sqlalchemy as sa
from starlette.types import Message

from agentic_api.identity.principal import PlatformAdmin, Proof
from agentic_api.runs import service, sse
from agentic_api.runs.lifecycle.capacity import Capacity, Room
from agentic_api.runs.schemas import Run
from agentic_api.runs.storage.records import StoredEvent
from agentic_api.runs.storage.repository import RunRepository
from agentic_api.web.middleware import answers
from agentic_api.web.middleware.answers import PIECE_BYTES, Answers, TooManyAnswers, in_pieces
from agentic_core.auth.api_keys import Role
from agentic_core.db import Database
from agentic_core.db import tables as t
from tests.api.principals import principal
from tests.api.runs import stage
from tests.api.runs.runtime import Answer, Runtime
from tests.api.runs.stage import Api, Tenant
from tests.requirements import requirement
from tests.support.postgres import PostgresDatabase
from tests.support.waiting import PATIENCE, until

EXECUTE = "/api/v1/agents/helper/execute"
MIB = 1024 * 1024
LONG = 16 * MIB
"""More than the buffers of a connection hold."""


@pytest.fixture
async def api(postgres: PostgresDatabase, runtime: Runtime, tenant: Tenant, stranger: Tenant) -> AsyncGenerator[Api]:
    """A replica that has room for two large answers, and drove none of the runs."""
    catalog = stage.catalog_of([tenant.name, stranger.name], endpoint=runtime.url)
    async with stage.serving(postgres.app, catalog, answer_bytes=MIB) as api:
        yield api


async def long_run(client: httpx2.AsyncClient, database: Database, tenant: Tenant) -> str:
    """The path of a run with a long output."""
    run = (await client.post(EXECUTE, json={"input": "hello"})).json()["id"]
    async with database.session(tenant.id) as session:
        await session.execute(sa.update(t.runs).where(t.runs.c.id == UUID(run)).values(output="a" * LONG))
    return f"/api/v1/runs/{run}"


@asynccontextmanager
async def unread(api: Api, tenant: Tenant, path: str) -> AsyncGenerator[None]:
    """An answer of which the client reads the first line only."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {tenant.key}\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.readline(), PATIENCE)).startswith(b"HTTP/1.1 200")
        yield
    finally:
        writer.close()


@requirement("rate-limit")
async def test_answers_that_nobody_reads_fill_the_share_of_their_tenant_only(
    api: Api,
    client: httpx2.AsyncClient,
    foreign: httpx2.AsyncClient,
    database: Database,
    tenant: Tenant,
    stranger: Tenant,
) -> None:
    path = await long_run(client, database, tenant)
    foreign_path = await long_run(foreign, database, stranger)
    async with api.client(tenant.key) as client, api.client(stranger.key) as foreign:
        async with unread(api, tenant, path), unread(api, tenant, path):
            refused = await client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_answers")
            assert int(refused.headers["retry-after"]) > 0
            assert (await client.post(EXECUTE, json={"input": "hello"})).status_code == 200, (
                "small ones are not counted"
            )
            assert len((await foreign.get(foreign_path)).json()["output"]) == LONG

        async def whole() -> bool:
            answer = await client.get(path)
            return answer.status_code == 200 and len(answer.json()["output"]) == LONG

        await until(whole, what="the share to be given back")


async def test_a_stream_ends_where_there_is_no_room_and_can_be_resumed(
    api: Api, client: httpx2.AsyncClient, database: Database, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    path = await long_run(client, database, tenant)
    async with api.client(tenant.key) as client:
        async with unread(api, tenant, path), unread(api, tenant, path):
            text = (await client.get(f"{path}/events")).text
            assert "event: message.delta" in text
            assert "run.finished" not in text

        async def whole() -> bool:
            text = (await client.get(f"{path}/events", headers={"Last-Event-ID": "1"})).text
            return "event: run.finished" in text and len(text) > LONG

        await until(whole, what="the end of the stream")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_run_whose_answer_has_no_room_is_there_all_the_same(
    api: Api, client: httpx2.AsyncClient, database: Database, tenant: Tenant, runtime: Runtime
) -> None:
    async def talk(answer: Answer) -> None:
        await answer.say("a" * 90_000)

    runtime.scripts["talk"] = talk
    path = await long_run(client, database, tenant)
    async with api.client(tenant.key) as client:
        async with unread(api, tenant, path), unread(api, tenant, path):
            refused = await client.post(EXECUTE, json={"input": "talk"})
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_answers")
            assert "was carried out" in refused.json()["detail"]

        async def there() -> bool:
            found = await client.get(refused.headers["location"])
            return bool(found.status_code == 200 and found.json()["status"] == "succeeded")

        await until(there, what="the run")


async def test_who_takes_too_long_is_cut_off(
    api: Api, client: httpx2.AsyncClient, database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "SECONDS_A_PIECE", 0.2)
    path = await long_run(client, database, tenant)
    async with api.client(tenant.key) as client, unread(api, tenant, path), unread(api, tenant, path):

        async def room() -> bool:
            return (await client.get(path)).status_code == 200

        await until(room, what="the shares of those who do not read")


async def test_one_of_a_tenants_large_reads_stands_in_the_line() -> None:
    room, order = Room(Capacity()), list[str]()

    async def read(tenant_id: UUID, name: str) -> None:
        async with room.reading(tenant_id):
            order.append(name)
            await asyncio.sleep(0)

    many, other = uuid4(), uuid4()
    await asyncio.gather(*(read(many, "many") for _ in range(5)), read(other, "other"))
    assert order.index("other") <= 1
    assert len(order) == 6


@pytest.mark.parametrize(("large", "at_once"), [(0, 1), (2 * LONG, 3)])
async def test_large_runs_are_read_one_after_the_other(
    client: httpx2.AsyncClient,
    database: Database,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    *,
    large: int,
    at_once: int,
) -> None:
    path = await long_run(client, database, tenant)
    reading, most, together = 0, 0, asyncio.Barrier(at_once)
    get = RunRepository.get

    async def counted(self: RunRepository, run_id: UUID) -> Run:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        async with asyncio.timeout(PATIENCE):
            await together.wait()
        await asyncio.sleep(0.05)  # others that come in as well would be counted
        try:
            run = await get(self, run_id)
            assert run is not None
            return run.model_copy(update={"output": ""})
        finally:
            reading -= 1

    monkeypatch.setattr(RunRepository, "get", counted)
    monkeypatch.setattr(service, "LARGE_BYTES", large)
    found = await asyncio.gather(*(client.get(path) for _ in range(3)))
    assert {answer.status_code for answer in found} == {200}
    assert most == at_once


def test_who_shares_with_whom() -> None:
    """Not tenants with those who have no credential, and nobody with the platform's admin."""
    held = Answers(4)
    tenant = principal(uuid4(), "acme", Role.VIEWER)
    for caller in (None, tenant):
        give = [held.hold(caller, 2), held.hold(caller, 1000)]
        with pytest.raises(TooManyAnswers, match="hold 4 bytes"):
            held.hold(caller, 1)
        held.hold(PlatformAdmin(subject="k", proof=Proof.API_KEY), 1000)
        give[0]()
        held.hold(caller, 2)


def test_events_are_joined_until_they_would_be_large() -> None:
    events = [StoredEvent(seq, "message.delta", '"' + "é" * size + '"') for seq, size in enumerate((9, 9, 40_000, 9))]
    pieces = list(sse._joined([*events, *events]))
    assert b"".join(pieces) == b"".join(sse.event(one.seq, one.type, one.payload.encode()) for one in events) * 2
    assert [piece.count(b"event: ") for piece in pieces] == [2, 1, 3, 1, 1]


@pytest.mark.parametrize("size", [PIECE_BYTES + 1, 2 * PIECE_BYTES, 2 * PIECE_BYTES + 1])
@pytest.mark.parametrize("more", [False, True])
async def test_pieces_are_the_whole(size: int, *, more: bool) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    body = bytes(index % 251 for index in range(size))
    await in_pieces({"type": "http.response.body", "body": body, "more_body": more}, send)
    assert b"".join(message["body"] for message in sent) == body
    assert all(len(message["body"]) <= PIECE_BYTES for message in sent)
    assert [message["more_body"] for message in sent] == [True] * (len(sent) - 1) + [more]
