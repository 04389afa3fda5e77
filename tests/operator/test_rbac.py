"""The operator's rights: small, written down once, and enough."""

from pathlib import Path

import yaml

from agentic_operator import rbac
from tests.requirements import requirement

CHART = Path(__file__).parents[2] / "manifests/helm/agentic-platform/files/operator-rules.yaml"


def test_the_chart_has_these_rules() -> None:
    assert CHART.read_text() == rbac.render(), "run make generate"
    assert yaml.safe_load(CHART.read_text()) == rbac.rules()


@requirement("secrets")
def test_no_rule_goes_too_far() -> None:
    for rule in rbac.rules():
        everything = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "*" not in everything
        assert not {"escalate", "impersonate"} & set(rule["verbs"])
        assert "secrets" not in rule["resources"]
        if "bind" in rule["verbs"]:
            assert rule["resourceNames"] == ["agentic-provider-secrets"]
