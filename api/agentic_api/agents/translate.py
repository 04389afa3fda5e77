"""Between JSON and custom resource, in both directions. Pure; the service and the endpoints call it."""

from typing import Any

from pydantic import ValidationError

from agentic_api.agents.schemas import AgentBody, AgentModelBody, AgentState, AgentView, LimitsBody, RuntimeBody
from agentic_api.catalog.catalog import Key
from agentic_api.errors import invalid
from agentic_core import names
from agentic_crds import Agent, AgentSpec
from agentic_crds.agent import AgentTool
from agentic_crds.base import API_VERSION, ConfigMapKeyRef

Object = dict[str, Any]


def spec(body: AgentBody, prompt_from: ConfigMapKeyRef | None = None) -> Object:
    """The spec of the resource. With `prompt_from` the prompt is kept there instead."""
    model = {"name": body.model} if isinstance(body.model, str) else _given(body.model)
    fields: Object = {
        "description": body.description,
        "capabilities": body.capabilities,
        "systemPrompt": None if prompt_from else body.system_prompt,
        "systemPromptFrom": prompt_from or body.system_prompt_from,
        "model": model,
        "tools": [AgentTool(builtin=name) for name in body.tools],
        "limits": _given(body.limits or body.resource_limits or LimitsBody()),
        "runtime": _given(body.runtime),
    }
    given = {key: value for key, value in fields.items() if value is not None and value != [] and value not in ("", {})}
    try:
        wanted = AgentSpec.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors()) from error
    return wanted.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def _given(body: AgentModelBody | LimitsBody | RuntimeBody) -> Object:
    return body.model_dump(exclude_unset=True, exclude_none=True)


def manifest(key: Key, fields: Object, **metadata: Any) -> Object:
    """The resource to send to the API server."""
    meta = {"name": key.name, "namespace": key.namespace} | {name: value for name, value in metadata.items() if value}
    return {"apiVersion": API_VERSION, "kind": Agent.kind_name, "metadata": meta, "spec": fields}


def view(resource: Object) -> AgentView:
    """The resource as JSON for clients."""
    agent = Agent.model_validate(resource)
    meta, wanted = agent.metadata, agent.spec
    return AgentView(
        id=f"{meta.namespace}.{meta.name}",
        agent_id=meta.name,
        name=meta.name,
        namespace=meta.namespace or "",
        description=wanted.description,
        capabilities=wanted.capabilities,
        system_prompt=wanted.system_prompt,
        system_prompt_from=wanted.system_prompt_from,
        model=AgentModelBody.model_validate(wanted.model.model_dump()),
        tools=[tool.builtin for tool in wanted.tools],
        limits=LimitsBody.model_validate(wanted.limits.model_dump()),
        runtime=RuntimeBody.model_validate(wanted.runtime.model_dump()),
        status=state(agent),
        created_at=meta.creation_timestamp,
        version=str(meta.generation),
    )


def state(agent: Agent) -> AgentState:
    """Whether the agent can run, in the operator's words."""
    status = agent.status
    ready = next((item for item in status.conditions if item.type == names.READY), None) if status else None
    return AgentState(
        ready=ready is not None and ready.status == "True",
        reason=ready.reason if ready else "Pending",
        message=ready.message if ready else "The operator has not seen the agent yet.",
        latest_revision=status.latest_revision if status else None,
        ready_revision=status.ready_revision if status else None,
    )


def body(resource: Object) -> Object:
    """The definition of the resource as a client would have sent it: what a merge patch is applied to."""
    shown = view(resource).model_dump(mode="json", exclude_none=True)
    return {name: shown[name] for name in AgentBody.model_fields if name in shown}


def patched(resource: Object, changes: Object) -> Object:
    """The definition after a merge patch. A prompt replaces a reference to one, and the reverse."""
    before = body(resource)
    for one, other in (("system_prompt", "system_prompt_from"), ("system_prompt_from", "system_prompt")):
        if changes.get(one) is not None:
            before.pop(other, None)
    result: Object = merged(before, changes)
    return result


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), value)
    return kept
