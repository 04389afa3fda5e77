"""Between JSON and custom resource, in both directions. Pure; the service and the endpoints call it."""

import hashlib
from typing import Any

from pydantic import ValidationError

from agentic_api.agents.schemas import AgentBody, AgentState, AgentView
from agentic_api.errors import Unreadable, invalid
from agentic_api.resources.writer import Draft
from agentic_core import names, telemetry
from agentic_core.cluster.kinds import CONFIG_MAP, Object, Ref
from agentic_crds import Agent, AgentSpec
from agentic_crds.base import ConfigMapKeyRef

log = telemetry.logger(__name__)
MAX_PROMPT_IN_SPEC = 8192
"""Maximum of characters of `spec.systemPrompt`, as the Agent has it; longer ones go into a ConfigMap beside it."""


def draft(name: str, body: AgentBody) -> Draft:
    """What a client sent for the agent `name`, as a resource."""
    fields = body.model_dump(include=set(AgentSpec.model_fields), exclude_unset=True, exclude_none=True)
    if body.resource_limits is not None:
        fields["limits"] = body.resource_limits.model_dump(exclude_unset=True, exclude_none=True)
    prompt = long_prompt(name, body)
    if prompt:
        del fields["system_prompt"]
        fields["system_prompt_from"] = prompt
    return Draft(spec(fields), [config_map(prompt, body)] if prompt else [])


def spec(fields: Object) -> Object:
    """The spec of the resource. What is empty is left out: it may be the field of another manager."""
    try:
        wanted = AgentSpec.model_validate({key: value for key, value in fields.items() if value not in ("", [], {})})
    except ValidationError as error:
        raise invalid(error.errors()) from error
    return wanted.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def long_prompt(name: str, body: AgentBody) -> ConfigMapKeyRef | None:
    """Where a prompt is kept that is too long for the resource."""
    if body.system_prompt is None or len(body.system_prompt) <= MAX_PROMPT_IN_SPEC:
        return None
    digest = hashlib.sha256(body.system_prompt.encode()).hexdigest()[:10]
    return ConfigMapKeyRef(name=f"{name}-prompt-{digest}")


def config_map(prompt: ConfigMapKeyRef, body: AgentBody) -> Object:
    """The ConfigMap of a long prompt."""
    meta = {"name": prompt.name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {prompt.key: body.system_prompt}}


def prompts(resource: Object) -> list[Ref]:
    """The ConfigMap that was made for the prompt of a resource, not one that a user named."""
    meta, used = resource["metadata"], resource["spec"].get("systemPromptFrom", {}).get("name", "")
    return [CONFIG_MAP.ref(used, meta["namespace"])] if used.startswith(f"{meta['name']}-prompt-") else []


def view(resource: Object) -> AgentView:
    """The resource as JSON for clients; raises `Unreadable` for one that was stored by the rules of another version."""
    agent = read(resource)
    meta = agent.metadata
    return AgentView.model_validate(
        agent.spec.model_dump(exclude_none=True)
        | {
            "id": f"{meta.namespace}.{meta.name}",
            "agent_id": meta.name,
            "name": meta.name,
            "namespace": meta.namespace or "",
            "status": state(agent),
            "created_at": meta.creation_timestamp,
            "version": str(meta.generation),
        }
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
    return read(resource).spec.model_dump(mode="json", exclude_none=True)


def read(resource: Object) -> Agent:
    """The resource; raises `Unreadable` for one that was stored by the rules of another version."""
    try:
        return Agent.model_validate(resource)
    except ValidationError as error:
        mistake, meta = error.errors(include_url=False, include_input=False)[0], resource["metadata"]
        where = ".".join(map(str, mistake["loc"]))
        raise Unreadable(
            f"Agent {meta['namespace']}.{meta['name']} was stored by the rules of another version of its kind:"
            f" {where}: {mistake['msg']}. Apply its manifest again, or replace it with PUT."
        ) from error


def views(resources: list[Object]) -> list[AgentView]:
    """Those of the resources that can be read: one that cannot must not hide the others."""
    found: list[AgentView] = []
    for resource in resources:
        try:
            found.append(view(resource))
        except Unreadable as error:
            log.warning("agent left out of a list", reason=error.message)
    return found


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
