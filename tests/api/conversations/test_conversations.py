"""Reading, listing and deleting conversations."""

from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from agentic_api.conversations.repository import ConversationRepository
from agentic_core.db import Database
from agentic_core.db import tables as t
from agentic_core.db.pages import PAGE_BYTES, BoundedPage
from tests.api.runs.stage import Api, Tenant
from tests.requirements import requirement


async def executed(client: httpx2.AsyncClient, agent: str = "helper", **body: Any) -> dict[str, Any]:
    run: dict[str, Any] = (await client.post(f"/api/v1/agents/{agent}/execute", json={"input": "hello"} | body)).json()
    return run


@requirement("api-conversation-get")
async def test_a_conversation_is_read_in_pages(client: httpx2.AsyncClient) -> None:
    run = await executed(client)
    for _ in range(2):
        await executed(client, conversation_id=run["conversation_id"])
    found: list[int] = []
    query: dict[str, Any] = {"limit": 4}
    while True:
        page = (await client.get(f"/api/v1/conversations/{run['conversation_id']}", params=query)).json()
        found += [item["position"] for item in page["messages"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == list(range(6))
    assert (page["message_count"], page["agent"]) == (6, run["agent"])
    assert page["updated_at"] > page["created_at"]


async def test_conversations_are_listed_newest_first(client: httpx2.AsyncClient) -> None:
    made = [(await executed(client))["conversation_id"] for _ in range(3)]
    other = (await executed(client, "other"))["conversation_id"]
    page = (await client.get("/api/v1/conversations", params={"limit": 2})).json()
    assert [item["id"] for item in page["items"]] == [other, made[2]]
    rest = (await client.get("/api/v1/conversations", params={"cursor": page["next_cursor"]})).json()
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == ([made[1], made[0]], None)
    of_other = (await client.get("/api/v1/conversations", params={"agent": "other"})).json()["items"]
    assert [item["id"] for item in of_other] == [other]


@requirement("audit")
async def test_a_deleted_conversation_leaves_its_usage_and_a_note(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant
) -> None:
    run = await executed(client)
    async with database.session(tenant.id) as session:
        spent = {"run_id": run["id"], "provider": "p", "model": "m", "status": "completed"}
        await session.execute(sa.insert(t.usage).values(tenant_id=tenant.id, id=run["id"], **spent))
    assert (await client.delete(f"/api/v1/conversations/{run['conversation_id']}")).status_code == 204
    assert (await client.get(f"/api/v1/conversations/{run['conversation_id']}")).status_code == 404
    assert (await client.get(f"/api/v1/runs/{run['id']}")).status_code == 404
    assert (await client.delete(f"/api/v1/conversations/{run['conversation_id']}")).status_code == 404
    async with database.session(tenant.id) as session:
        for table, left in ((t.messages, 0), (t.runs, 0), (t.run_events, 0), (t.usage, 1)):
            assert (await session.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() == left
        note = (await session.execute(sa.select(t.audit_log.c.action, t.audit_log.c.target))).one()
    assert tuple(note) == ("conversation.delete", run["conversation_id"])


@pytest.mark.parametrize("wrong", ["bm90IGEgbnVtYmVy", "LTE", "****"])
async def test_a_cursor_of_something_else_is_refused(client: httpx2.AsyncClient, wrong: str) -> None:
    run = await executed(client)
    for path in ("/api/v1/conversations", f"/api/v1/conversations/{run['conversation_id']}"):
        assert (await client.get(path, params={"cursor": wrong})).status_code == 422


@requirement("tenant-context")
async def test_the_repository_knows_nothing_of_another_tenants_conversations(
    client: httpx2.AsyncClient, runs_api: Api, database: Database, stranger: Tenant
) -> None:
    run = await executed(client)
    async with database.session(stranger.id) as session:
        repository = ConversationRepository(session)
        assert await repository.get(run["conversation_id"]) is None
        assert await repository.messages(run["conversation_id"], after=-1, limit=9) == BoundedPage([], more=False)
        assert await repository.page(limit=9, before=None, namespace=None, agent=None) == []
        assert not await repository.lock(run["conversation_id"])
        assert await repository.in_progress(run["conversation_id"]) is None
        await repository.delete(run["conversation_id"])
    assert (await client.get(f"/api/v1/conversations/{run['conversation_id']}")).status_code == 200


async def test_a_page_ends_when_its_messages_are_long(
    client: httpx2.AsyncClient, database: Database, tenant: Tenant
) -> None:
    run = await executed(client)
    sizes = [PAGE_BYTES // 2, PAGE_BYTES // 4, PAGE_BYTES // 4 + 1, 2 * PAGE_BYTES, 1, 1]
    known = {"tenant_id": tenant.id, "conversation_id": run["conversation_id"], "run_id": run["id"], "role": "user"}
    calls = [{"id": "c", "name": "t", "arguments": {"a": "b" * (PAGE_BYTES - 1000)}}]  # little once it is compressed
    rows = [known | {"position": 2 + n, "content": "a" * size, "tool_calls": []} for n, size in enumerate(sizes)]
    rows += [known | {"position": 8 + n, "content": "", "tool_calls": calls} for n in range(2)]
    async with database.session(tenant.id) as session:
        await session.execute(sa.insert(t.messages), rows)
    pages: list[list[int]] = []
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = (await client.get(f"/api/v1/conversations/{run['conversation_id']}", params=query)).json()
        pages.append([item["position"] for item in page["messages"]])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert pages == [[0, 1, 2, 3], [4], [5], [6, 7, 8], [9]]
