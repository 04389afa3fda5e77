"""The endpoints `/api/v1/agents`."""

from typing import Annotated

from fastapi import Header, Response
from pydantic import ValidationError

from agentic_api.agents import translate
from agentic_api.agents.schemas import AgentPatch, AgentView, ChangedAgent, NewAgent
from agentic_api.errors import invalid
from agentic_api.web.auth import Developer, Viewer
from agentic_api.web.context import Ctx
from agentic_api.web.pagination import Page, PageParams, cursor
from agentic_api.web.parameters import AgentId
from agentic_api.web.routing import router as domain_router
from agentic_core.cluster.kinds import Object
from agentic_crds import Agent

router = domain_router("/api/v1/agents", tag="agents")

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", max_length=64, pattern=r'^"?[0-9]{1,20}"?$', description="The `version` that you have seen."
    ),
]


@router.post("", status_code=201)
async def create_agent(body: NewAgent, caller: Developer, context: Ctx, response: Response) -> AgentView:
    """Create an agent. It runs as soon as the operator has resolved it: see `status` of what GET returns."""
    created = await context.agents.create(caller, body)
    shown = translate.view(created)
    response.headers["Location"] = f"/api/v1/agents/{shown.id}"
    return shown


@router.get("")
async def list_agents(caller: Viewer, context: Ctx, page: PageParams) -> Page[AgentView]:
    """List the agents of the tenant by namespace and name."""
    found, after = context.catalog.page(Agent, caller, limit=page.limit, after=page.after)
    return Page(items=translate.views(found), next_cursor=cursor(after) if after else None)


@router.get("/{agent_id}")
async def get_agent(agent_id: AgentId, caller: Viewer, context: Ctx, response: Response) -> AgentView:
    """Get an agent and whether it is ready to run."""
    shown = translate.view(context.catalog.find(Agent, caller, agent_id))
    response.headers["ETag"] = f'"{shown.version}"'
    return shown


@router.put("/{agent_id}")
async def replace_agent(
    agent_id: AgentId, body: ChangedAgent, caller: Developer, context: Ctx, if_match: IfMatch = None
) -> AgentView:
    """Give an agent a new definition. Runs that have begun go on with the old one."""
    changed = await context.agents.change(caller, agent_id, lambda _: body, version=_version(if_match))
    return translate.view(changed)


@router.patch("/{agent_id}")
async def patch_agent(
    agent_id: AgentId, patch: AgentPatch, caller: Developer, context: Ctx, if_match: IfMatch = None
) -> AgentView:
    """Change parts of an agent's definition."""
    changes = patch.model_extra or {}
    changed = await context.agents.change(
        caller, agent_id, lambda current: _patched(current, changes), version=_version(if_match)
    )
    return translate.view(changed)


@router.delete("/{agent_id}", status_code=204)
async def delete_agent(agent_id: AgentId, caller: Developer, context: Ctx) -> None:
    """Delete an agent. Its conversations stay."""
    await context.agents.delete(caller, agent_id)


def _version(if_match: str | None) -> str | None:
    return if_match.strip('"') if if_match else None


def _patched(current: Object, changes: Object) -> ChangedAgent:
    try:
        return ChangedAgent.model_validate(translate.patched(current, changes))
    except ValidationError as error:
        raise invalid(error.errors()) from error
