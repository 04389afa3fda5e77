"""What shall exist because of an Agent and of a namespace with Shared agents, and what an Agent's status says; pure."""

import hashlib
from dataclasses import replace
from typing import Any

import orjson
import pytest

from agentic_core import names
from agentic_core.cluster.kinds import DEPLOYMENT, NAMESPACE, SERVICE, Object
from agentic_core.resolve import Surroundings
from agentic_crds import Agent, ModelProviderSpec
from agentic_operator.controllers import shared_runtime
from agentic_operator.controllers.agent.desired import desired
from agentic_operator.controllers.agent.observed import ExistingRevision, ObservedAgent
from agentic_operator.controllers.agent.status import assess
from agentic_operator.controllers.kinds import REVISION
from agentic_operator.controllers.shared_runtime import ObservedRuntime, RuntimeNamespace
from agentic_operator.desired import runtime
from agentic_operator.desired.runtime import Autoscaled, RuntimePods
from agentic_operator.engine import ownership
from agentic_operator.engine.key import ReconcileKey
from tests.operator.controllers.decisions import AVAILABLE, NOW, PLATFORM, condition, deployment, listed, shown

PLACE = "acme-default"
PROVIDER = ModelProviderSpec.model_validate({"type": "openai", "models": [{"name": "m"}]})
AROUND = Surroundings(namespace=PLACE, providers={"p": PROVIDER}, installed_tools=frozenset({"clock"}))
RUNTIME_KINDS = ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
SHARED = RuntimePods(name="agent-runtime", namespace=PLACE, tenant="acme", image="runtime:1")


def agent(status: Object | None = None, **spec: Any) -> Agent:
    """An agent."""
    body: Object = {"metadata": {"name": "one", "namespace": PLACE, "generation": 3}}
    told = {"status": status} if status else {}
    return Agent.model_validate(body | {"spec": {"model": {"name": "m"}} | spec} | told)


def observed(
    of: Agent, *revisions: str, tenant: str | None = "acme", around: Surroundings = AROUND, **more: Any
) -> ObservedAgent:
    """What is there; the revisions came to be in their order."""
    made = tuple(ExistingRevision(name, f"2026-01-01T00:00:{number:02}Z") for number, name in enumerate(revisions))
    return ObservedAgent(of.spec, around, tenant, made, **more)


def latest(of: Agent) -> str:
    """The revision that the agent resolves to."""
    return names.revision_name("one", observed(of).resolution.digest)


def test_a_shared_agent_is_one_revision() -> None:
    one = agent(systemPrompt="Be brief.", tools=[{"name": "time", "builtin": "clock"}])
    wanted = desired(one, observed(one), PLATFORM)
    (revision,) = wanted.objects
    assert revision == {
        "apiVersion": "agentic.io/v1alpha1",
        "kind": "AgentRevision",
        "metadata": {
            "name": latest(one),
            "namespace": PLACE,
            "labels": {
                "agentic.io/tenant": "acme",
                "agentic.io/agent": "one",
                "app.kubernetes.io/managed-by": "agentic-operator",
                "app.kubernetes.io/part-of": "agentic-platform",
            },
            "annotations": {"agentic.io/stored-bytes": str(len(orjson.dumps(revision["spec"])))},
        },
        "spec": {
            "agent": "one",
            "hash": observed(one).resolution.digest,
            "definition": {
                "systemPrompt": "Be brief.",
                "wire": "openai",
                "models": [{"provider": "p", "name": "m"}],
                "maxOutputTokens": 4096,
                "tools": [
                    {"name": "time", "kind": "builtin", "builtin": "clock", "policy": {"maxResultBytes": 400000}}
                ],
                "limits": {"maxTokens": 100000, "maxExecutionTime": 300, "maxIterations": 25},
            },
        },
    }
    assert wanted.keep == frozenset()
    assert wanted.shared == ()


def prompted(prompt: str) -> Agent:
    """An agent whose prompt may be as long as one in a ConfigMap."""
    one = agent()
    return one.model_copy(update={"spec": one.spec.model_copy(update={"system_prompt": prompt})})


@pytest.mark.parametrize(("prompt", "separate"), [("x" * 8192, False), ("x" * 8193, True), ("ü" * 4097, True)])
def test_a_long_prompt_is_an_object_of_its_own(prompt: str, separate: bool) -> None:
    one = prompted(prompt)
    wanted = desired(one, observed(one), PLATFORM)
    (revision,) = wanted.objects
    assert revision["metadata"]["name"] == latest(one), "the hash covers the whole definition"
    sha256 = hashlib.sha256(prompt.encode()).hexdigest()
    if not separate:
        assert (revision["spec"]["definition"]["systemPrompt"], wanted.shared) == (prompt, ())
        return
    assert revision["spec"]["promptSha256"] == sha256
    assert "systemPrompt" not in revision["spec"]["definitionWithoutPrompt"]
    assert "definition" not in revision["spec"]
    (shared,) = wanted.shared
    assert shared.owner == ReconcileKey("prompt-versions", NAMESPACE.ref(PLACE))
    assert shared.body["spec"] == {"sha256": sha256, "text": prompt}
    name = f"prompt-{sha256[:40]}"
    assert (shared.body["metadata"]["name"], revision["metadata"]["labels"][names.PROMPT_VERSION]) == (name, name)
    assert shared.body["metadata"]["annotations"] == {names.STORED_BYTES: str(len(orjson.dumps(shared.body["spec"])))}


@pytest.mark.parametrize(
    ("prompt", "name", "spec_hash"),
    [
        ("Be brief.", "one-5d13d30568", "6cb2777cd12e938bd63a"),
        ("x" * 9000, "one-1de5f895f9", "f02621a3797ae5d616e0"),
    ],
)
def test_a_revision_of_an_earlier_version_stays_as_it_was_applied(prompt: str, name: str, spec_hash: str) -> None:
    """The hashes are those that the operator wrote before prompts were objects of their own."""
    one = prompted(prompt)
    wanted = desired(one, observed(one, name), PLATFORM)
    (revision,) = wanted.objects
    assert (revision["metadata"]["name"], wanted.shared) == (name, ())
    owner = {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "metadata": {"name": "one", "namespace": PLACE}}
    owner["metadata"] |= {"uid": "u"}  # type: ignore[operator]
    assert ownership.owned(revision, owner)["metadata"]["annotations"] == {names.SPEC_HASH: spec_hash}


def test_a_dedicated_agent_has_pods_too() -> None:
    wanted = {"mode": "Dedicated", "image": "mine:2", "autoscaling": {"maxReplicas": 3}}
    one = agent(runtime=wanted)
    assert listed(desired(one, observed(one), PLATFORM)) == [
        f"AgentRevision {PLACE}/{latest(one)}",
        *(f"{kind} {PLACE}/agent-one" for kind in RUNTIME_KINDS),
    ]


@pytest.mark.parametrize(("replicas", "budget"), [(0, False), (1, False), (2, True)])
def test_fixed_pods_of_its_own_have_a_disruption_budget_when_they_are_several(replicas: int, budget: bool) -> None:
    one = agent(runtime={"mode": "Dedicated", "replicas": replicas})
    made = desired(one, observed(one), PLATFORM)
    assert (f"PodDisruptionBudget {PLACE}/agent-one" in listed(made)) is budget
    assert made.objects[1]["spec"]["replicas"] == replicas


def test_an_agent_that_does_not_resolve_leaves_everything_as_it_is() -> None:
    one = agent({"readyRevision": "one-good"}, model={"name": "unknown"}, revisionHistoryLimit=2)
    own = frozenset({DEPLOYMENT.ref("agent-one", PLACE), SERVICE.ref("agent-one", PLACE)})
    wanted = desired(one, observed(one, "one-good", "one-old", "one-new", children=own), PLATFORM)
    assert wanted.objects == ()
    assert wanted.keep == own | {REVISION.ref("one-good", PLACE), REVISION.ref("one-new", PLACE)}


def test_pods_of_its_own_stay_until_the_shared_ones_serve() -> None:
    own = DEPLOYMENT.ref("agent-one", PLACE)
    one = agent()
    before = observed(one, dedicated=deployment("agent-one", **AVAILABLE), children=frozenset({own}))
    starting = desired(one, replace(before, shared=deployment("agent-runtime")), PLATFORM)
    serving = desired(one, replace(before, shared=deployment("agent-runtime", **AVAILABLE)), PLATFORM)
    assert (starting.keep, serving.keep) == (frozenset({own}), frozenset())


def test_the_status_of_an_agent_that_serves() -> None:
    one = agent()
    found = observed(one, latest(one), shared=deployment("agent-runtime", **AVAILABLE))
    assert shown(assess(one, found, NOW)) == {
        "observedGeneration": 3,
        "latestRevision": latest(one),
        "readyRevision": latest(one),
        "endpoint": "http://agent-runtime.acme-default.svc:8080",
        "conditions": [
            condition("Ready", "True", "Converged", f"Revision {latest(one)} serves"),
            condition("Resolved", "True", "Resolved", f"Revision {latest(one)}"),
            condition("RuntimeReady", "True", "RuntimeAvailable", "Deployment agent-runtime serves"),
        ],
    }


BEFORE = {"latestRevision": "one-good", "readyRevision": "one-good", "endpoint": "http://before"}


def test_a_revision_that_is_not_there_is_not_named() -> None:
    one = agent(BEFORE)
    found = observed(one, "one-good", shared=deployment("agent-runtime", **AVAILABLE))
    assert shown(assess(one, found, NOW)).items() >= BEFORE.items()


def test_a_new_runtime_is_waited_for() -> None:
    one = agent(BEFORE, runtime={"mode": "Dedicated"})
    pods = deployment("agent-one", readyReplicas=0)
    starting = "No pod of Deployment agent-one is ready yet; if that lasts, kubectl describe pods shows why"
    assert shown(assess(one, observed(one, latest(one), dedicated=pods), NOW)) == BEFORE | {
        "observedGeneration": 3,
        "latestRevision": latest(one),
        "replicas": 0,
        "selector": "app=agent-one",
        "conditions": [
            condition("Ready", "False", "RuntimeStarting", starting),
            condition("Reconciling", "True", "RuntimeStarting", starting),
            condition("Resolved", "True", "Resolved", f"Revision {latest(one)}"),
            condition("RuntimeReady", "False", "RuntimeStarting", starting),
        ],
    }


@pytest.mark.parametrize(
    ("more", "reason", "message"),
    [
        (
            {"tenant": None},
            "NoTenant",
            f"Namespace {PLACE} belongs to no Tenant; create the agent in a namespace of a Tenant",
        ),
        (
            {"around": Surroundings(namespace=PLACE)},
            "ProviderNotFound",
            f"Namespace {PLACE} has no ModelProvider; create one that offers m",
        ),
    ],
)
def test_an_agent_with_a_problem_keeps_what_served(more: dict[str, Any], reason: str, message: str) -> None:
    one = agent(BEFORE)
    found = observed(one, "one-good", shared=deployment("agent-runtime", **AVAILABLE), **more)
    assert shown(assess(one, found, NOW)) == BEFORE | {
        "observedGeneration": 3,
        "conditions": [
            condition("Ready", "False", reason, message),
            condition("Stalled", "True", reason, message),
            condition("Resolved", "False", reason, message),
            condition("RuntimeReady", "True", "RuntimeAvailable", "Deployment agent-runtime serves"),
        ],
    }


ONE_POD = ("Deployment", "Service")
HERE = RuntimeNamespace(PLACE, leaving=False)


@pytest.mark.parametrize(
    ("namespace", "observed", "kinds"),
    [
        (HERE, ObservedRuntime("acme", needed=True), ONE_POD),
        (HERE, ObservedRuntime("acme", needed=True, max_pods=5, metrics=True), RUNTIME_KINDS),
        (HERE, ObservedRuntime("acme", needed=True, max_pods=5, metrics=False), ONE_POD),
        (HERE, ObservedRuntime("acme", needed=True, max_pods=1, metrics=True), ONE_POD),
        (HERE, ObservedRuntime("acme", needed=False, max_pods=5, metrics=True), ()),
        (HERE, ObservedRuntime(None, needed=True), ()),
        (RuntimeNamespace(PLACE, leaving=True), ObservedRuntime("acme", needed=True), ()),
    ],
)
def test_a_shared_runtime_is_where_shared_agents_are(
    namespace: RuntimeNamespace, observed: ObservedRuntime, kinds: tuple[str, ...]
) -> None:
    made = shared_runtime.desired(namespace, observed, PLATFORM)
    assert listed(made) == [f"{kind} {PLACE}/agent-runtime" for kind in kinds]
    scale = Autoscaled(1, 5, {"type": "AverageValue", "averageValue": "500m"}) if kinds == RUNTIME_KINDS else None
    assert not kinds or made.objects == runtime.objects(replace(SHARED, scale=scale), PLATFORM)


def test_a_shared_runtime_without_autoscaler_is_scaled_back_to_one_pod() -> None:
    back = ObservedRuntime("acme", needed=True, scaled_back=True)
    made = shared_runtime.desired(HERE, back, PLATFORM).objects[0]
    assert made["spec"]["replicas"] == 1
    assert made["metadata"]["annotations"] == {"agentic.io/scaled-back": "true"}
    scaled = shared_runtime.desired(HERE, replace(back, metrics=True, max_pods=5), PLATFORM).objects[0]
    assert "replicas" not in scaled["spec"]
    assert "annotations" not in scaled["metadata"]
