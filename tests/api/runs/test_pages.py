"""Pages of runs, and pieces of their events, are bounded by bytes."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import sqlalchemy as sa

from agentic_api.runs.schemas import ERROR_CHARACTERS, OUTPUT_CHARACTERS
from agentic_api.runs.storage.journal import Journal
from agentic_api.runs.storage.records import BATCH_BYTES
from agentic_core.db import Database, uuid7
from agentic_core.db import tables as t
from agentic_core.db.pages import PAGE_BYTES
from tests.api.runs.stage import Tenant

KIB = 1024
EXECUTE = "/api/v1/agents/helper/execute"


async def made(client: httpx2.AsyncClient, database: Database, tenant: Tenant, *sizes: int) -> list[str]:
    """Runs with outputs of these sizes, the newest first."""
    ids: list[str] = [(await client.post(EXECUTE, json={"input": "hello"})).json()["id"] for _ in sizes]
    async with database.session(tenant.id) as session:
        for run, size in zip(ids, sizes, strict=True):
            await session.execute(sa.update(t.runs).where(t.runs.c.id == UUID(run)).values(output="a" * size))
    return ids[::-1]


async def test_a_page_of_runs_has_the_start_of_long_outputs_and_ends_when_they_are_many(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant
) -> None:
    (oldest,) = await made(client, database, tenant, 1)
    ids = [str(uuid7()) for _ in range(70)]
    async with database.session(tenant.id) as session:
        conversation = (await session.execute(sa.select(t.runs.c.conversation_id))).scalar_one()
        row = {"tenant_id": tenant.id, "conversation_id": conversation, "namespace": "n", "agent": "a", "revision": "r"}
        row |= {"status": "failed", "finished_at": datetime.now(UTC), "error_code": "e", "error_message": "b" * 9 * KIB}
        await session.execute(sa.insert(t.runs), [row | {"id": run, "output": "a" * 64 * KIB} for run in ids])
    pages: list[list[dict[str, Any]]] = []
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = (await client.get("/api/v1/runs", params=query)).json()
        pages.append(page["items"])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    fit = PAGE_BYTES // OUTPUT_CHARACTERS
    assert [len(page) for page in pages] == [fit, fit, 71 - 2 * fit]
    assert [item["id"] for page in pages for item in page] == [*sorted(ids, reverse=True), oldest]
    shown = pages[0][0]
    assert (shown["output"], shown["output_truncated"]) == ("a" * OUTPUT_CHARACTERS, True)
    assert shown["error"]["message"] == "b" * ERROR_CHARACTERS


async def test_pages_of_short_runs_have_as_many_as_asked(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant
) -> None:
    ids = await made(client, database, tenant, 1, 1, 1)
    for limit, more in ((2, True), (3, False), (4, False)):
        page = (await client.get("/api/v1/runs", params={"limit": limit})).json()
        assert [item["id"] for item in page["items"]] == ids[:limit]
        assert (page["next_cursor"] is not None) is more


async def test_stored_events_come_in_pieces(client: httpx2.AsyncClient, database: Database, tenant: Tenant) -> None:
    run = UUID((await client.post(EXECUTE, json={"input": "hello"})).json()["id"])
    size = BATCH_BYTES // 2  # as of runs in progress: each slow follower holds a piece
    rows = [
        {"tenant_id": tenant.id, "run_id": run, "seq": seq, "type": "message.delta", "payload": '"' + "a" * size + '"'}
        for seq in range(10, 16)
    ]
    async with database.session(tenant.id) as session:
        await session.execute(sa.insert(t.run_events), rows)
    pieces: list[list[int]] = []
    async with database.transaction(tenant.id) as transaction:
        while piece := await Journal(transaction).events(run, after=pieces[-1][-1] if pieces else 9):
            pieces.append([event.seq for event in piece])
    assert pieces == [[10, 11], [12, 13], [14, 15]]
