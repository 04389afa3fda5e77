"""What the models accept the API server accepts, and what it refuses they refuse: tried with thousands of objects."""

from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agentic_crds import KINDS, Agent, ModelProvider, Resource, Tenant
from tests.crds import strategies
from tests.crds.server import create, resource
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane

pytestmark = pytest.mark.slow

NAMESPACE = "default"
QUICK = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
NAMES = st.one_of(
    st.from_regex(r"[a-z0-9.-]{1,64}", fullmatch=True),
    st.sampled_from([30, 31, 52, 53, 63, 64]).map(lambda length: "a" * length),
    st.sampled_from(["1a", "a.b", "-a", "a-", "Ünï", "..", "a/b", "a b", "runtime"]),
)


def refusal(kind: type[Resource], body: dict[str, Any]) -> str:
    """Why the model refuses the object; empty when it does not."""
    try:
        kind.model_validate(body)
    except ValidationError as error:
        return str(error)
    return ""


def agree(plane: ControlPlane, kind: type[Resource], body: dict[str, Any]) -> bool:
    """Checks that both say the same; whether they accept.

    The models take null for absence everywhere, the API server only where there is a default; models never write it.
    """
    theirs = create(plane, kind, body, NAMESPACE)
    ours = refusal(kind, body)
    both = f"server: {theirs.message or 'accepts'}\nmodel: {ours or 'accepts'}\n{body}"
    assert theirs.accepted == (not ours) or (not ours and '"null"' in theirs.message), both
    if not ours:
        written = create(plane, kind, kind.model_validate(body).manifest(), NAMESPACE)
        assert written.accepted, f"{written.message}\n{body}"
    return theirs.accepted


@requirement("crds")
@pytest.mark.parametrize("kind", KINDS.models, ids=lambda kind: kind.kind_name)
@QUICK
@given(data=st.data())
def test_on_objects_that_keep_the_schema(plane: ControlPlane, kind: type[Resource], data: st.DataObject) -> None:
    body = resource(kind, "any", data.draw(strategies.specs(kind)))
    event(f"accepted: {agree(plane, kind, body)}")


@pytest.mark.parametrize("kind", KINDS.models, ids=lambda kind: kind.kind_name)
@QUICK
@given(data=st.data())
def test_on_objects_with_a_mistake(plane: ControlPlane, kind: type[Resource], data: st.DataObject) -> None:
    body = resource(kind, "any", {}) | data.draw(strategies.mistaken(kind))
    event(f"accepted: {agree(plane, kind, body)}")


MINIMAL: dict[type[Resource], dict[str, Any]] = {
    Tenant: {},
    ModelProvider: {"type": "openai", "models": [{"name": "m"}]},
    Agent: {"model": {"name": "m"}},
}


@pytest.mark.parametrize("kind", MINIMAL, ids=lambda kind: kind.kind_name)
@QUICK
@given(name=NAMES)
def test_models_and_api_server_agree_on_names(plane: ControlPlane, kind: type[Resource], name: str) -> None:
    event(f"accepted: {agree(plane, kind, resource(kind, name, MINIMAL[kind]))}")
