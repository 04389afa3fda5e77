"""The environment that the charts give to the programs is the one that their settings read."""

import json
import os
from importlib.metadata import entry_points
from typing import Any
from unittest import mock

import pytest

from agentic_api.settings import ApiSettings, InstallSettings
from agentic_core.settings import Settings
from agentic_gateway.settings import GatewaySettings
from agentic_operator.settings import OperatorSettings
from tests.manifests import charts

PROGRAMS: dict[str, type[Settings]] = {
    "Deployment/agentic-api": ApiSettings,
    "Deployment/agentic-gateway": GatewaySettings,
    "Deployment/agentic-operator": OperatorSettings,
    "Job/agentic-install": InstallSettings,
}
PREFIX = "AGENTIC_"


def environment(values: str, owner: str) -> dict[str, charts.Object]:
    """The variables of a program."""
    return charts.environment(charts.pod_templates(charts.platform(values))[owner])


def literal(variable: charts.Object) -> str:
    """The value of a variable; something for one whose value is in the cluster."""
    return str(variable.get("value", "from-the-cluster"))


@pytest.mark.parametrize("owner", PROGRAMS)
@pytest.mark.parametrize("values", sorted(charts.VALUES))
def test_every_variable_is_a_setting_and_every_required_setting_a_variable(values: str, owner: str) -> None:
    fields = PROGRAMS[owner].model_fields
    given = {name.removeprefix(PREFIX).lower() for name in environment(values, owner) if name.startswith(PREFIX)}
    assert given <= set(fields)
    assert {name for name, field in fields.items() if field.is_required()} <= given


@pytest.mark.parametrize("owner", PROGRAMS)
@pytest.mark.parametrize("values", sorted(charts.VALUES))
def test_programs_can_read_their_settings(values: str, owner: str) -> None:
    variables = {name: literal(variable) for name, variable in environment(values, owner).items()}
    with mock.patch.dict(os.environ, variables, clear=True):
        settings = PROGRAMS[owner]()
    assert settings.log_level == charts.VALUES[values].get("logLevel", "info")
    assert settings.otlp_endpoint == charts.VALUES[values].get("otlpEndpoint")


def test_values_become_the_programs_environment() -> None:
    assert literal(environment("everything", "Deployment/agentic-gateway")["AGENTIC_PRIVATE_PROVIDERS"]) == "true"
    assert literal(environment("everything", "Deployment/agentic-operator")["AGENTIC_PRIVATE_PROVIDERS"]) == "true"
    origins = literal(environment("everything", "Deployment/agentic-api")["AGENTIC_CORS_ORIGINS"])
    assert json.loads(origins) == ["https://console.example.com"]
    tools = literal(environment("everything", "Deployment/agentic-operator")["AGENTIC_TOOLS"])
    assert json.loads(tools) == ["calculator"]


@pytest.mark.parametrize(
    ("program", "name", "value", "text"),
    [
        ("api", "max_body_bytes", 33554432, "33554432"),
        ("api", "gitops_only", True, "true"),
        ("gateway", "request_seconds", 0.5, "0.5"),
    ],
)
def test_any_setting_of_a_program_can_be_set_in_the_values(program: str, name: str, value: Any, text: str) -> None:
    objects = charts.parse(charts.template(charts.PLATFORM, {program: {"settings": {name: value}}}))
    variables = charts.environment(charts.pod_templates(objects)[f"Deployment/agentic-{program}"])
    assert literal(variables[f"{PREFIX}{name.upper()}"]) == text


@pytest.mark.parametrize("name", ["colour", "database_url", "cors_origins"])
def test_settings_that_no_program_reads_or_the_chart_sets_are_refused(name: str) -> None:
    done = charts.helm("template", "agentic", str(charts.PLATFORM), "--set", f"api.settings.{name}=1")
    assert done.returncode != 0
    assert f"additional properties '{name}' not allowed" in done.stderr


@pytest.mark.parametrize("program", ["api", "gateway", "operator"])
def test_settings_that_the_chart_sets_are_not_offered(program: str) -> None:
    """The later of two variables of one name would win, over what the chart knows better, such as the namespace."""
    schema = json.loads((charts.PLATFORM / "values.schema.json").read_text())
    offered = schema["properties"][program]["properties"]["settings"]["properties"]
    plain = {name: value for name, value in charts.VALUES.items() if not value.get(program, {}).get("settings")}
    given = {variable for name in plain for variable in environment(name, f"Deployment/agentic-{program}")}
    assert {name for name in offered if f"{PREFIX}{name.upper()}" in given} == set()


def test_the_runtime_image_has_the_tools_of_the_defaults() -> None:
    """The operator would call an Agent ready whose tool the runtime does not have."""
    installed = {point.name for point in entry_points(group="agentic.tools")}
    assert (
        set(json.loads(literal(environment("defaults", "Deployment/agentic-operator")["AGENTIC_TOOLS"]))) == installed
    )
