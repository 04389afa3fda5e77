"""Resources of other versions of the platform."""

import pytest

from agentic_api.agents import translate
from agentic_api.errors import Unreadable


def agent(name: str, tool: dict[str, str]) -> dict[str, object]:
    """An Agent with one tool."""
    metadata = {"name": name, "namespace": "acme-default", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "agentic.io/v1alpha1",
        "kind": "Agent",
        "metadata": metadata,
        "spec": {"model": {"name": "m"}, "tools": [tool]},
    }


OF_TODAY = agent("new", {"name": "calculator", "builtin": "calculator"})
OF_ANOTHER_VERSION = agent("old", {"builtin": "calculator"})


def test_an_agent_of_another_version_is_an_error_that_names_the_field_and_what_to_do() -> None:
    with pytest.raises(
        Unreadable, match=r"acme-default\.old .*tools\.0\.name: Field required.*Apply its manifest again"
    ):
        translate.view(OF_ANOTHER_VERSION)


def test_one_that_cannot_be_read_does_not_hide_the_others() -> None:
    assert [shown.name for shown in translate.views([OF_ANOTHER_VERSION, OF_TODAY])] == ["new"]
