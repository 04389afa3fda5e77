"""The endpoints of runs: execute an agent, read, follow and cancel runs."""

from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from agentic_api.runs import sse
from agentic_api.runs.schemas import Execute, Run, RunMessage, RunSummary, ToolExecution
from agentic_api.runs.states import RULES, RunStatus
from agentic_api.web.auth import Invoker, Viewer, WaitingInvoker, WaitingViewer
from agentic_api.web.context import Ctx
from agentic_api.web.middleware import record
from agentic_api.web.pagination import Page, PageParams, cursor, page_id, page_position
from agentic_api.web.parameters import AgentId, IdempotencyKey
from agentic_api.web.routing import router as make_router
from agentic_core import telemetry
from agentic_core.db.pages import BoundedPage

T = TypeVar("T")
router = make_router("/api/v1", tag="runs")

EVENT = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON.",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["data"],
}
RUN_OR_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The run, or its events while it goes on.",
        "content": {sse.MEDIA_TYPE: {"schema": EVENT}},
    },
    202: {
        "model": RunSummary,
        "description": "The run was carried out, and is too large for one response; or it is in progress still, as"
        " `status` says, and waits for something or for its turn. Read it at `Location`.",
    },
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The events.", "content": {sse.MEDIA_TYPE: {"schema": EVENT}}},
    204: {"description": "The client has seen all of them: it need not connect again."},
}


@router.post("/agents/{agent_id}/execute", response_model=Run, responses=RUN_OR_EVENTS)
async def execute(
    agent_id: AgentId,
    body: Execute,
    request: Request,
    principal: WaitingInvoker,
    context: Ctx,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Run an agent and respond with the run, or with its events as they come.

    The run goes on when the client disconnects; read it later with `GET /api/v1/runs/{run_id}`. A response with status
    429 says that nothing was done.
    """
    begun = await context.runs.execute(
        principal, agent_id, body=body, idempotency_key=idempotency_key, trace_id=telemetry.trace_id()
    )
    run_id = begun if isinstance(begun, UUID) else begun.id
    record.of(request.scope).headers.append((b"location", f"/api/v1/runs/{run_id}".encode()))
    if body.stream or sse.MEDIA_TYPE in request.headers.get("accept", ""):
        run = await context.runs.summary(principal, begun) if isinstance(begun, UUID) else begun
        return _events(context, principal, run, after=0, greet=True)
    result = await context.runs.result(principal, run_id)
    if isinstance(result, Run) and (RULES[result.status].in_progress or not _fits(request, result)):
        result = result.summary()
    return Response(result.encoded, 200 if isinstance(result, Run) else 202, media_type="application/json")


def _fits(request: Request, run: Run) -> bool:
    """Whether the tenant's share of memory has what the response takes until it is read."""
    memory = record.of(request.scope).memory
    return memory is None or memory.grow(len(run.encoded))


def _events(context: Ctx, principal: Viewer, run: RunSummary, *, after: int, greet: bool) -> Response:
    started = run.model_dump_json(include={"id", "agent", "revision", "conversation_id"}) if greet else None
    content = sse.stream(context.runs, principal, run.id, memory=context.memory, after=after, started=started)
    return StreamingResponse(content, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)


@router.get("/runs")
async def list_runs(
    principal: Viewer,
    context: Ctx,
    page: PageParams,
    agent: Annotated[str | None, Query(max_length=253, description="Runs of this agent only.")] = None,
    status: Annotated[RunStatus | None, Query(description="Runs with this status only.")] = None,
    conversation_id: Annotated[UUID | None, Query(description="Runs of this conversation only.")] = None,
) -> Page[RunSummary]:
    """Your tenant's runs, the newest first. A page of long outputs has fewer than `limit`."""
    found = await context.runs.page(
        principal,
        limit=page.limit,
        before=page_id(page.after),
        agent_id=agent,
        status=status,
        conversation_id=conversation_id,
    )
    return Page(items=found.items, next_cursor=cursor(str(found.items[-1].id)) if found.more else None)


@router.get("/runs/{run_id:id}")
async def get_run(run_id: UUID, principal: Viewer, context: Ctx) -> Run:
    """A run as it is now. A large one has the first of its messages and tool calls, and says so."""
    return await context.runs.get(principal, run_id)


@router.get("/runs/{run_id}/messages")
async def list_run_messages(run_id: UUID, principal: Viewer, context: Ctx, page: PageParams) -> Page[RunMessage]:
    """What a run added to its conversation, in order. A page of long messages has fewer than `limit`."""
    found = await context.runs.messages(principal, run_id, after=page_position(page.after), limit=page.limit)
    return _page(found)


@router.get("/runs/{run_id}/tool_calls")
async def list_tool_calls(run_id: UUID, principal: Viewer, context: Ctx, page: PageParams) -> Page[ToolExecution]:
    """The tools that ran, in order. A page of long results has fewer than `limit`."""
    found = await context.runs.tool_calls(principal, run_id, after=page_position(page.after), limit=page.limit)
    return _page(found)


def _page(found: BoundedPage[tuple[int, T]]) -> Page[T]:
    return Page(
        items=[item for _position, item in found.items],
        next_cursor=cursor(str(found.items[-1][0])) if found.more else None,
    )


@router.post("/runs/{run_id}:cancel")
async def cancel_run(run_id: UUID, principal: Invoker, context: Ctx) -> Run:
    """End a run, wherever it is driven, and respond with what there is of it. One that has ended stays as it is."""
    return await context.runs.cancel(principal, run_id)


@router.get("/runs/{run_id}/events", response_class=StreamingResponse, responses=EVENTS)
async def follow_run(
    run_id: UUID,
    principal: WaitingViewer,
    context: Ctx,
    last_event_id: Annotated[int | None, Header(ge=0, le=2**31 - 1, description="The last event seen.")] = None,
) -> Response:
    """The events of a run, those to come included; after a lost connection, from `Last-Event-ID` on."""
    run = await context.runs.summary(principal, run_id)
    if last_event_id is not None and await context.runs.is_over(principal, run_id, seen=last_event_id):
        return Response(status_code=204)
    return _events(context, principal, run, after=last_event_id or 0, greet=last_event_id is None)
