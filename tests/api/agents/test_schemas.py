"""The api reads and shows the fields of the custom resource: all of them, and beside them only what is listed here."""

from typing import Any

from agentic_api.agents.schemas import AgentBody, AgentView, ChangedAgent, NewAgent
from agentic_crds import AgentSpec

SPEC = set(AgentSpec.model_fields)
NAMES = {"name", "agent_id", "namespace"}
OTHER_NAMES = {"resource_limits"}
SHOWN = NAMES | {"id", "status", "created_at", "version"}


def properties(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = schema["properties"]
    return found


def test_a_field_of_the_kind_is_a_field_of_every_body() -> None:
    """A new field is edited in three places: the kind's model, the code that reads it, its test."""
    for body, more in ((AgentBody, OTHER_NAMES), (ChangedAgent, OTHER_NAMES), (NewAgent, OTHER_NAMES | NAMES)):
        assert set(body.model_fields) == SPEC | more
        assert set(properties(body.model_json_schema())) == SPEC | more
    assert set(AgentView.model_fields) == SPEC | SHOWN
    shown = AgentView.model_json_schema(mode="serialization")
    assert set(properties(shown)) == set(shown["required"]) == SPEC | SHOWN


def test_what_differs_from_the_kind_is_this() -> None:
    kind, body = properties(AgentSpec.model_json_schema(by_alias=False)), properties(AgentBody.model_json_schema())
    assert body["model"]["anyOf"][0]["type"] == "string"
    assert [one.get("type") for one in body["tools"]["items"]["anyOf"]] == ["string", None]
    assert (kind["system_prompt"]["anyOf"][0]["maxLength"], body["system_prompt"]["anyOf"][0]["maxLength"]) == (
        8192,
        1048576,
    )
    for name in SPEC - {"model", "tools", "system_prompt"}:
        assert plain(body[name]) == plain(kind[name]), name


def plain(schema: Any) -> Any:
    """A schema without descriptions, markers of Kubernetes, spelling of defaults and names of models."""
    if isinstance(schema, dict):
        kept = {key: plain(value) for key, value in schema.items() if key not in ("description", "default")}
        kept.pop("$ref", None)
        return {key: value for key, value in kept.items() if not key.startswith("x-kubernetes")}
    return [plain(item) for item in schema] if isinstance(schema, list) else schema
