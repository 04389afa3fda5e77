"""A Dedicated agent's environment names no setting of the platform: its runtime would believe it."""

from typing import Any

import pytest
from pydantic import ValidationError

from agentic_crds import Agent
from agentic_operator.desired import runtime
from tests.crds.server import create
from tests.operator.harness import PLATFORM
from tests.support.apiserver import ControlPlane


def agent(name: str) -> dict[str, Any]:
    """A Dedicated agent with one variable."""
    spec = {"model": {"name": "m"}, "runtime": {"mode": "Dedicated", "env": [{"name": name, "value": "true"}]}}
    return {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "metadata": {"name": "one"}, "spec": spec}


@pytest.mark.parametrize("name", ["AGENTIC_FETCH_ALLOW_PRIVATE", "agentic_run_token_keys", "Agentic_Port", "AGENTIC_"])
def test_settings_of_the_platform_are_refused_by_server_and_models(plane: ControlPlane, name: str) -> None:
    """Programs read their settings whatever the case of their names."""
    message = "names that start with AGENTIC_ are the platform's own settings"
    with pytest.raises(ValidationError, match=message):
        Agent.model_validate(agent(name))
    verdict = create(plane, Agent, agent(name), "default")
    assert not verdict.accepted
    assert message in verdict.message


@pytest.mark.parametrize("name", ["TZ", "MY_AGENTIC_NAME", "HTTP_PROXY"])
def test_other_names_are_the_users(plane: ControlPlane, name: str) -> None:
    assert Agent.model_validate(agent(name)).spec.runtime.env[0].name == name
    verdict = create(plane, Agent, agent(name), "default")
    assert verdict.accepted, verdict.message


def test_one_that_was_stored_before_has_no_effect() -> None:
    env = {"TZ": "UTC", "AGENTIC_FETCH_ALLOW_PRIVATE": "true", "agentic_port": "1"}
    pods = runtime.RuntimePods(name="agent-a", namespace="n", tenant="acme", image="i", env=env)
    (container,) = runtime.deployment(pods, PLATFORM)["spec"]["template"]["spec"]["containers"]
    names = {variable["name"] for variable in container["env"]}
    assert "TZ" in names
    assert not names & {"AGENTIC_FETCH_ALLOW_PRIVATE", "agentic_port"}
