"""The kinds on a real API server: what kubectl shows, what comes back, and the errors of bad manifests."""

import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentic_crds import KINDS, Agent, AgentRevision, ModelProvider, PromptVersion, Resource, Tenant
from agentic_crds.generate import crd, render
from tests.crds.server import create, resource
from tests.requirements import requirement
from tests.support.apiserver import ControlPlane, programs

ROOT = Path(__file__).parents[2]
NAMESPACE = "default"


def kubectl(plane: ControlPlane, *arguments: str) -> str:
    """What kubectl prints."""
    command = [str(programs() / "kubectl"), "--kubeconfig", str(plane.kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("kind", KINDS.models, ids=lambda kind: kind.kind_name)
def test_generated_files_are_up_to_date(kind: type[Resource]) -> None:
    for folder in ("crds/generated", "manifests/helm/agentic-crds/files"):
        assert (ROOT / folder / f"{kind.plural}.yaml").read_text() == render(kind), "run make generate"


@requirement("crds")
def test_the_api_server_finds_nothing_to_complain_about(plane: ControlPlane) -> None:
    for kind in KINDS.models:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd(kind)['metadata']['name']}"
        conditions = {one["type"]: one["status"] for one in plane.request("GET", path)["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_kubectl_knows_short_names_columns_and_explanations(plane: ControlPlane) -> None:
    listed = kubectl(plane, "api-resources", "--api-group=agentic.io", "--no-headers")
    assert set(re.findall(r"^\S+\s+(\w+)\s", listed, re.MULTILINE)) == {"tn", "mp", "ag", "agr", "prv"}
    assert "The model that answers" in kubectl(plane, "explain", "agent.spec.model")
    name = f"shown-{secrets.token_hex(4)}"
    create(plane, Agent, resource(Agent, name, {"model": {"name": "gpt"}}), NAMESPACE, dry_run=False)
    head, line = kubectl(plane, "get", "ag", name).splitlines()
    assert head.split() == ["NAME", "MODEL", "MODE", "REVISION", "READY", "REASON", "AGE"]
    assert line.split()[:3] == [name, "gpt", "Shared"]
    explained = [part for part in kubectl(plane, "explain", "--recursive", "agent.spec").splitlines() if "<" in part]
    assert len(explained) > 30


DEFINITION = {
    "wire": "openai",
    "models": [{"provider": "p", "name": "gpt"}],
    "maxOutputTokens": 1,
    "limits": {},
    "tools": [{"name": "models", "kind": "builtin"}],
}
REVISION = {"agent": "one", "hash": "0" * 64}


@pytest.mark.parametrize(
    "content",
    [
        {"definition": DEFINITION | {"systemPrompt": "Be brief."}},
        {"definitionWithoutPrompt": DEFINITION, "promptSha256": "1" * 64},
    ],
)
def test_kubectl_shows_the_model_of_a_revision_wherever_its_prompt_is(
    plane: ControlPlane, content: dict[str, Any]
) -> None:
    name = f"shown-{secrets.token_hex(4)}"
    create(plane, AgentRevision, resource(AgentRevision, name, REVISION | content), NAMESPACE, dry_run=False)
    head, line = kubectl(plane, "get", "agr", name).splitlines()
    assert head.split() == ["NAME", "AGENT", "MODEL", "AGE"]
    assert line.split()[:3] == [name, "one", "gpt"]


@pytest.mark.parametrize("path", sorted((ROOT / "manifests/samples").rglob("*.yaml")), ids=lambda path: path.name)
@requirement("declarative")
def test_a_sample_comes_back_as_it_was_understood(plane: ControlPlane, path: Path) -> None:
    kinds = {kind.kind_name: kind for kind in KINDS.models}
    for body in yaml.safe_load_all(path.read_text()):
        if body["kind"] not in kinds:
            continue
        kind = kinds[body["kind"]]
        body["metadata"].pop("namespace", None)
        ours: Any = kind.model_validate(body)
        written = yaml.safe_load(yaml.safe_dump(ours.manifest()))
        verdict = create(plane, kind, written, NAMESPACE)
        assert verdict.accepted, verdict.message
        theirs: Any = kind.model_validate(verdict.stored)
        assert theirs.spec == ours.spec


AGENT = {"model": {"name": "m"}}


@pytest.mark.parametrize(
    ("kind", "name", "spec", "message"),
    [
        (Agent, "one", {"model": {"name": 5}}, 'spec.model.name in body must be of type string: "integer"'),
        (Agent, "one", {}, "spec.model: Required value"),
        (Agent, "one", AGENT | {"promt": "typo"}, 'unknown field "spec.promt"'),
        (Agent, "one", AGENT | {"systemPrompt": "x" * 1_000_000}, "Too long: may not be more than 8192 bytes"),
        (Agent, "one", {"model": {"name": "ünï"}}, "spec.model.name in body should match"),
        (Agent, "one", {"model": {"name": "m", "temperature": 3}}, "should be less than or equal to 2"),
        (Agent, "a.b", AGENT, "an agent's name is a DNS label, without dots"),
        (Agent, "a" * 53, AGENT, "an agent's name has at most 52 characters"),
        (Agent, "runtime", AGENT, "an agent cannot be named runtime"),
        (Agent, "Ünï", AGENT, "a lowercase RFC 1123 subdomain"),
        (Agent, "../../etc/passwd", AGENT, "a lowercase RFC 1123 subdomain"),
        (Agent, "one", AGENT | {"systemPrompt": "a", "systemPromptFrom": {"name": "b"}}, "exclude each other"),
        (Agent, "one", AGENT | {"runtime": {"replicas": 2}}, "need mode Dedicated"),
        (
            Agent, "one", AGENT | {"runtime": {"mode": "Dedicated", "replicas": 2, "autoscaling": {"maxReplicas": 3}}},
            "replicas and autoscaling exclude each other",
        ),
        (
            Agent, "one",
            AGENT | {"runtime": {"mode": "Dedicated", "autoscaling": {"minReplicas": 4, "maxReplicas": 3}}},
            "minReplicas must not exceed maxReplicas",
        ),
        (
            Agent, "one", AGENT | {"tools": [{"name": "a", "builtin": "b"}, {"name": "a", "builtin": "c"}]},
            "Duplicate value",
        ),
        (Agent, "one", AGENT | {"tools": [{"builtin": "a"}]}, "spec.tools[0].name: Required value"),
        (Agent, "one", AGENT | {"tools": [{"name": "a"}]}, "set exactly one of builtin"),
        (Agent, "one", AGENT | {"tools": [{"name": "a.b", "builtin": "b"}]}, "spec.tools[0].name in body should match"),
        (Agent, "one", AGENT | {"tools": [{"name": "a" * 65, "builtin": "b"}]}, "may not be more than 64"),
        (ModelProvider, "one", {"type": "azure", "models": [{"name": "m"}]}, 'Unsupported value: "azure"'),
        (ModelProvider, "one", {"type": "openaiCompatible", "models": [{"name": "m"}]}, "needs baseUrl"),
        (ModelProvider, "one", {"type": "openai", "models": [{"name": "m"}], "baseUrl": "file:///x"}, "should match"),
        (Tenant, "a" * 31, {}, "a tenant's name has at most 30 characters"),
        (Tenant, "1st", {}, "a DNS label that starts with a letter"),
        (Tenant, "one", {"network": {"egress": [{"cidr": "1.2.3/8"}]}}, "must be a CIDR"),
        (Tenant, "one", {"namespaces": {"declared": ["a", "a"]}}, "items differ"),
        (AgentRevision, "one", REVISION, "set exactly one of definition, definitionWithoutPrompt"),
        (AgentRevision, "one", REVISION | {"definitionWithoutPrompt": DEFINITION}, "promptSha256 belong together"),
        (PromptVersion, "one", {"sha256": "1" * 64, "text": "x"}, "a prompt version is named by its hash"),
    ],
)  # fmt: skip
@requirement("input-validation")
def test_a_bad_manifest_is_told_what_is_wrong(
    plane: ControlPlane, kind: type[Resource], name: str, spec: dict[str, Any], message: str
) -> None:
    verdict = create(plane, kind, resource(kind, name, spec), NAMESPACE)
    assert not verdict.accepted
    assert message in verdict.message


def test_what_may_not_change_does_not(plane: ControlPlane) -> None:
    name = f"t{secrets.token_hex(4)}"
    body = resource(Tenant, name, {"namespaces": {"prefix": "first"}})
    create(plane, Tenant, body, NAMESPACE, dry_run=False)
    edit = resource(Tenant, name, {"namespaces": {"prefix": "second"}})
    path = f"/apis/agentic.io/v1alpha1/tenants/{name}"
    with pytest.raises(OSError, match="422"):
        plane.request("PATCH", path, edit, "application/merge-patch+json")
