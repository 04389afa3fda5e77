"""What somebody with the operator's token can do: nothing but what the operator does, held by the API server.

Each table begins with what the operator really makes, which passes; every variant of it is refused.
"""

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from agentic_core.cluster.kinds import Object, ref_of
from agentic_crds.tenant import EgressRule
from agentic_operator import rbac
from agentic_operator.desired import access, network
from tests.manifests import charts, golden
from tests.manifests.cluster import OPERATOR, Cluster, tenant_namespace
from tests.requirements import requirement
from tests.security import made

pytestmark = pytest.mark.xdist_group("charts")
Change = Callable[[Any], object]
DENIED = "denied request"


def refused(cluster: Cluster, obj: Object, method: str = "PATCH", **options: str) -> str:
    """The policy's complaint about a request of the operator."""
    complaint = cluster.attempt(method, obj, account=OPERATOR, **options)
    assert DENIED in complaint, complaint or f"{ref_of(obj)} was admitted"
    return complaint.partition(DENIED)[2]


def admitted(cluster: Cluster, obj: Object, method: str = "PATCH", **options: str) -> None:
    """Fail unless the operator may do that."""
    assert cluster.attempt(method, obj, account=OPERATOR, **options) == ""


@requirement("secrets")
def test_every_right_to_write_has_a_policy() -> None:
    """A new rule of the operator's ClusterRole without a policy would be a right without bounds."""
    verbs = {"create": "CREATE", "patch": "UPDATE", "update": "UPDATE", "delete": "DELETE"}
    objects = charts.platform("defaults")
    covered = set()
    for policy in (obj["spec"] for obj in objects if obj["kind"] == "ValidatingAdmissionPolicy"):
        mine = [one["expression"] for one in policy.get("matchConditions", [])]
        if mine == [f"request.userInfo.username == 'system:serviceaccount:{charts.NAMESPACE}:{OPERATOR}'"]:
            for rule in policy["matchConstraints"]["resourceRules"]:
                covered |= set(product(rule["apiGroups"], rule["resources"], rule["operations"]))
    written = {
        (group, resource, verbs[verb])
        for rule in rbac.rules()
        for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"])
        if verb in verbs
    }
    assert written - covered == set()
    assert ("apps", "deployments", "CREATE") in written


def test_what_the_operator_makes_is_admitted(cluster: Cluster) -> None:
    for obj in made.everything():
        admitted(cluster, obj)
        admitted(cluster, obj, "POST")


NAMESPACES: dict[str, Change] = {
    "privileged": lambda one: one["labels"].update({"pod-security.kubernetes.io/enforce": "privileged"}),
    "baseline": lambda one: one["labels"].update({"pod-security.kubernetes.io/enforce": "baseline"}),
    "an old version of restricted": lambda one: one["labels"].update(
        {"pod-security.kubernetes.io/enforce-version": "v1.0"}
    ),
    "without Pod Security": lambda one: one["labels"].pop("pod-security.kubernetes.io/enforce"),
    "of no tenant": lambda one: one["labels"].pop("agentic.io/tenant"),
    "of another tenant than its owner": lambda one: one["labels"].update({"agentic.io/tenant": "rival"}),
    "of another uid than its owner": lambda one: one["labels"].update({"agentic.io/tenant-uid": "else"}),
    "of no uid": lambda one: one["labels"].pop("agentic.io/tenant-uid"),
    "without owner": lambda one: one.pop("ownerReferences"),
    "owned by something else": lambda one: one["ownerReferences"].append(
        {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    ),
    "with a label of others": lambda one: one["labels"].update({"istio-injection": "enabled"}),
    "handed over by itself": lambda one: one["annotations"].update({"agentic.io/adopt": "true"}),
    "with an annotation of others": lambda one: one["annotations"].update(
        {"scheduler.alpha.kubernetes.io/node-selector": "master="}
    ),
    "called kube-*": lambda one: one.update(name="kube-new"),
}


@requirement("tenant-namespaces")
@pytest.mark.parametrize("change", NAMESPACES.values(), ids=NAMESPACES)
@pytest.mark.parametrize("name", ["acme-new", made.PLACE], ids=["new", "existing"])
def test_a_namespace_is_restricted_and_of_its_tenant(cluster: Cluster, name: str, change: Change) -> None:
    admitted(cluster, tenant_namespace(name))
    body = tenant_namespace(name)
    change(body["metadata"])
    refused(cluster, body)
    refused(cluster, body, "POST" if name == "acme-new" else "PATCH")


def test_a_namespace_stays_with_its_tenant_unless_it_is_handed_over(cluster: Cluster) -> None:
    moved = tenant_namespace(made.PLACE, "rival")
    assert "moves no namespace from one Tenant to another" in refused(cluster, moved)
    assert "moves no namespace" in refused(cluster, tenant_namespace(made.PLACE, uid="next-of-the-name"))
    handed = tenant_namespace("acme-handed")
    assert not cluster.apply(handed, account=OPERATOR)
    cluster.kubectl("annotate", "namespace", "acme-handed", "agentic.io/adopt=true")
    admitted(cluster, tenant_namespace("acme-handed", "rival"))
    admitted(cluster, tenant_namespace("acme-handed", uid="next-of-the-name"))
    for name in ("default", charts.NAMESPACE, "kube-system"):
        cluster.kubectl("annotate", "namespace", name, "agentic.io/adopt=true")
        assert "is no namespace for a tenant" in refused(cluster, tenant_namespace(name))
        cluster.kubectl("annotate", "namespace", name, "agentic.io/adopt-")


def spec(obj: Object) -> Any:
    """The pods of a Deployment."""
    return obj["spec"]["template"]["spec"]


def first(obj: Object) -> Any:
    """The container of a Deployment."""
    return spec(obj)["containers"][0]


HTTP = {"httpGet": {"path": "/", "port": 80, "host": "169.254.169.254"}}
SECRET_REF = {"secretKeyRef": {"name": "s", "key": "k"}}
DEPLOYMENTS: dict[str, Change] = {
    "hostNetwork": lambda one: spec(one).update(hostNetwork=True),
    "hostPID": lambda one: spec(one).update(hostPID=True),
    "hostIPC": lambda one: spec(one).update(hostIPC=True),
    "shared processes": lambda one: spec(one).update(shareProcessNamespace=True),
    "a chosen node": lambda one: spec(one).update(nodeName="node1"),
    "host aliases": lambda one: spec(one).update(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a"]}]),
    "priority of the system": lambda one: spec(one).update(priorityClassName="system-node-critical"),
    "another account": lambda one: spec(one).update(serviceAccountName="admin"),
    "the default account": lambda one: spec(one).pop("serviceAccountName"),
    "a token": lambda one: spec(one).update(automountServiceAccountToken=True),
    "a token by default": lambda one: spec(one).pop("automountServiceAccountToken"),
    "a pull Secret": lambda one: spec(one).update(imagePullSecrets=[{"name": "registry"}]),
    "hostPath": lambda one: spec(one)["volumes"].append({"name": "r", "hostPath": {"path": "/"}}),
    "a Secret as volume": lambda one: spec(one)["volumes"].append({"name": "r", "secret": {"secretName": "s"}}),
    "a projected token": lambda one: spec(one)["volumes"].append(
        {"name": "r", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
    ),
    "a volume of NFS": lambda one: spec(one)["volumes"].append({"name": "r", "nfs": {"server": "s", "path": "/"}}),
    "a claim": lambda one: spec(one)["volumes"].append({"name": "r", "persistentVolumeClaim": {"claimName": "c"}}),
    "root": lambda one: spec(one)["securityContext"].update(runAsNonRoot=False, runAsUser=0),
    "root by default": lambda one: spec(one)["securityContext"].pop("runAsNonRoot"),
    "seccomp off": lambda one: spec(one)["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "sysctls": lambda one: spec(one)["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "no context of the pod": lambda one: spec(one).pop("securityContext"),
    "no context of the container": lambda one: first(one).pop("securityContext"),
    "privileged": lambda one: first(one).update(securityContext={"privileged": True}),
    "escalation": lambda one: first(one)["securityContext"].update(allowPrivilegeEscalation=True),
    "a writable root": lambda one: first(one)["securityContext"].update(readOnlyRootFilesystem=False),
    "a capability": lambda one: first(one)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    "capabilities by default": lambda one: first(one)["securityContext"].update(capabilities={"drop": []}),
    "root in the container": lambda one: first(one)["securityContext"].update(runAsUser=0),
    "seccomp off in the container": lambda one: first(one)["securityContext"].update(
        seccompProfile={"type": "Unconfined"}
    ),
    "host port": lambda one: first(one)["ports"][0].update(hostPort=80),
    "env of a Secret": lambda one: first(one)["env"].append({"name": "S", "valueFrom": SECRET_REF}),
    "env from a Secret": lambda one: first(one).update(envFrom=[{"secretRef": {"name": "s"}}]),
    "a probe elsewhere": lambda one: first(one).update(livenessProbe=HTTP),
    "a hook elsewhere": lambda one: first(one)["lifecycle"].update(postStart=HTTP),
    "a hook at the end": lambda one: first(one)["lifecycle"].update(preStop=HTTP),
    "a second container": lambda one: spec(one)["containers"].append({"name": "side", "image": "i"}),
    "an init container": lambda one: spec(one).update(initContainers=[{"name": "init", "image": "i"}]),
    "pods that are no runtime": lambda one: [
        labels.update({"app.kubernetes.io/name": "agentic-gateway"})
        for labels in (one["spec"]["template"]["metadata"]["labels"], one["spec"]["selector"]["matchLabels"])
    ],
}


@pytest.mark.parametrize("change", DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_pods_are_confined_runtimes(cluster: Cluster, change: Change) -> None:
    body = made.deployment()
    change(body)
    refused(cluster, body)


SERVICES: dict[str, Change] = {
    "a name of elsewhere": lambda one: one.update(type="ExternalName", externalName="evil.example.com"),
    "a load balancer": lambda one: one.update(type="LoadBalancer"),
    "a port of the node": lambda one: one.update(type="NodePort"),
    "external addresses": lambda one: one.update(externalIPs=["203.0.113.1"]),
    "no selector": lambda one: one.pop("selector"),
    "other pods": lambda one: one["selector"].update({"app.kubernetes.io/name": "agentic-api"}),
    "another runtime": lambda one: one["selector"].update({"app.kubernetes.io/component": "agent-two"}),
}


@pytest.mark.parametrize("change", SERVICES.values(), ids=SERVICES)
def test_a_service_leads_to_its_runtime(cluster: Cluster, change: Change) -> None:
    body = made.service()
    change(body["spec"])
    refused(cluster, body)


METADATA: dict[str, Change] = {
    "of no tenant": lambda one: one["labels"].pop("agentic.io/tenant"),
    "of another tenant": lambda one: one["labels"].update({"agentic.io/tenant": "rival"}),
    "not its own": lambda one: one["labels"].pop("app.kubernetes.io/managed-by"),
    "labels of others": lambda one: one["labels"].update({"argocd.argoproj.io/instance": "x"}),
    "an identity of the cloud": lambda one: one["annotations"].update({"eks.amazonaws.com/role-arn": "arn:admin"}),
    "handed over by itself": lambda one: one["annotations"].update({"agentic.io/adopt": "true"}),
    "a finalizer": lambda one: one.update(finalizers=["example.com/held"]),
    "an owner of others": lambda one: one.update(
        ownerReferences=[{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u"}]
    ),
}


@pytest.mark.parametrize("change", METADATA.values(), ids=METADATA)
def test_children_are_marked_as_the_operators_own(cluster: Cluster, change: Change) -> None:
    for obj in made.everything():
        change(obj["metadata"])
        refused(cluster, obj)


def others(name: str) -> dict[str, Change]:
    return {"another name": lambda one: one["metadata"].update(name=name)}


REST: dict[str, dict[str, Change]] = {
    "ServiceAccount": others("default")
    | {
        "a token": lambda one: one.update(automountServiceAccountToken=True),
        "a Secret": lambda one: one.update(secrets=[{"name": "s"}]),
        "a pull Secret": lambda one: one.update(imagePullSecrets=[{"name": "s"}]),
    },
    "ResourceQuota": others("mine")
    | {"a scope": lambda one: one["spec"].update(hard={"pods": "1"}, scopes=["NotTerminating"])},
    "LimitRange": others("mine"),
    "HorizontalPodAutoscaler": {
        "another target": lambda one: one["spec"]["scaleTargetRef"].update(name="theirs"),
    },
    "PodDisruptionBudget": {"all pods": lambda one: one["spec"].update(selector={})},
}


@pytest.mark.parametrize(
    ("kind", "change"),
    [pytest.param(kind, change, id=f"{kind} {name}") for kind, all_ in REST.items() for name, change in all_.items()],
)
def test_other_children_are_those_that_it_makes(cluster: Cluster, kind: str, change: Change) -> None:
    (body,) = [obj for obj in made.everything() if obj["kind"] == kind]
    change(body)
    refused(cluster, body)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"ports": [{"protocol": "TCP", "port": 443}]},
        {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 80}]},
        {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80}]},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}], "ports": [{"port": 80}]},
        {"to": [{"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}}], "ports": [{"port": 80}]},
    ],
)
def test_network_policies_name_what_they_open_and_never_the_metadata_of_the_cloud(
    cluster: Cluster, rule: Object
) -> None:
    body = made.child(network.allow_egress([EgressRule(cidr="203.0.113.0/24")], **made.WHERE), made.TENANT)
    admitted(cluster, body)
    body["spec"]["egress"].append(rule)
    refused(cluster, body)


def test_roles_give_the_right_to_one_secret(cluster: Cluster) -> None:
    """Where the operator holds the right itself; elsewhere RBAC refuses it."""
    golden.provider_rights(cluster, golden.BOUND)

    def role(name: str, **change: list[str]) -> Object:
        body = made.child(access.secret_role(name, namespace=golden.BOUND, tenant="acme", secret="openai"))
        body["rules"][0] |= change
        return body

    admitted(cluster, role("provider-mine"))
    refused(cluster, role("mine"))
    refused(cluster, role("provider-mine", resourceNames=["a", "b"]))
    changes: list[dict[str, list[str]]] = [{"resourceNames": []}, {"verbs": ["get", "list"]}]
    for change in changes:
        complaint = cluster.attempt("PATCH", role("provider-mine", **change), account=OPERATOR)
        assert DENIED in complaint or "attempting to grant RBAC permissions not currently held" in complaint


def test_bindings_are_for_the_platforms_programs(cluster: Cluster) -> None:
    role = access.PROVIDER_SECRETS
    for account in ("agentic-gateway", "agentic-api", "default"):
        refused(cluster, made.binding(account, role, "ClusterRole"))
    body = made.binding(OPERATOR, role, "ClusterRole")
    for subject in (
        {"kind": "User", "name": OPERATOR},
        {"kind": "Group", "name": "system:authenticated"},
        {"kind": "ServiceAccount", "name": OPERATOR, "namespace": made.PLACE},
    ):
        refused(cluster, body | {"subjects": [*body["subjects"], subject]})


def test_what_others_made_is_neither_changed_nor_deleted(cluster: Cluster) -> None:
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "agent-one", "namespace": made.PLACE}}
    theirs["spec"] = {"ports": [{"port": 80}]}
    assert not cluster.apply(theirs)
    try:
        refused(cluster, made.service())
        refused(cluster, theirs, "DELETE")
        cluster.kubectl("annotate", "service", "-n", made.PLACE, "agent-one", "agentic.io/adopt=true")
        admitted(cluster, made.service())
    finally:
        cluster.kubectl("delete", "service", "-n", made.PLACE, "agent-one")


def test_what_lost_its_labels_is_put_back(cluster: Cluster) -> None:
    applied = ("apply", "--server-side", "--field-manager=agentic-operator", "-f-")
    done = cluster.kubectl(*applied, stdin=json.dumps(made.service()), account=OPERATOR)
    assert done.returncode == 0, done.stderr
    try:
        cluster.kubectl("label", "service", "-n", made.PLACE, "agent-one", "app.kubernetes.io/managed-by-")
        admitted(cluster, made.service())
    finally:
        cluster.kubectl("delete", "service", "-n", made.PLACE, "agent-one")


RESOURCES: dict[str, Object] = {
    "Tenant": {"displayName": "x"},
    "Agent": {"model": {"name": "m"}},
    "ModelProvider": {"type": "openai", "models": [{"name": "m"}]},
}

EDITS: dict[str, Object] = {
    "Tenant": {"network": {"egress": [{"cidr": "0.0.0.0/0", "ports": [22]}]}},
    "Agent": {"systemPrompt": "Obey."},
    "ModelProvider": {"baseUrl": "http://thief.example.com"},
}


@pytest.mark.parametrize("kind", RESOURCES)
def test_of_custom_resources_of_others_it_changes_its_finalizers_only(cluster: Cluster, kind: str) -> None:
    def body(spec: Object | None = None, **change: object) -> Object:
        metadata = {"name": "finalized-one"} | ({} if kind == "Tenant" else {"namespace": made.PLACE}) | change
        head = {"apiVersion": "agentic.io/v1alpha1", "kind": kind, "metadata": metadata}
        return head | ({} if spec is None else {"spec": spec})

    assert not cluster.apply(body(RESOURCES[kind]))
    for finalizers in (["agentic.io/finalizer"], ["agentic.io/finalizer-second"], []):
        admitted(cluster, body(finalizers=finalizers), manager="operator")
    owner = {"apiVersion": "agentic.io/v1alpha1", "kind": "Tenant", "name": "nobody", "uid": "u"}
    changes: list[Object] = [
        {"finalizers": ["agentic.io/data"]},
        {"labels": {"a": "b"}},
        {"annotations": {"agentic.io/adopt": "true"}},
        {"ownerReferences": [owner]},
    ]
    for change in changes:
        refused(cluster, body(**change), manager="operator")
    refused(cluster, body(RESOURCES[kind] | EDITS[kind]))


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://thief.example.com",
        "http://agent-runtime.rival-default.svc:8080",
        "http://agent-other.acme-default.svc:8080",
        "http://agent-runtime.acme-default.svc:8080@thief.example.com",
    ],
)
def test_the_endpoint_of_an_agent_is_a_runtime_in_its_namespace(cluster: Cluster, endpoint: str) -> None:
    agent = made.AGENT | {"metadata": {"name": "led", "namespace": made.PLACE}}
    assert not cluster.apply(agent | {"spec": {"model": {"name": "m"}}})
    for good in ("http://agent-runtime.acme-default.svc:8080", "http://agent-led.acme-default.svc:8080"):
        admitted(cluster, agent | {"status": {"endpoint": good}}, subresource="status")
    refused(cluster, agent | {"status": {"endpoint": endpoint}}, subresource="status")


def test_events_are_its_own(cluster: Cluster) -> None:
    head = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": made.PLACE}}
    about = {"apiVersion": "agentic.io/v1alpha1", "kind": "Agent", "name": "one", "namespace": made.PLACE, "uid": "u"}
    event = head | {"involvedObject": about, "reason": "Restored", "reportingComponent": OPERATOR}
    admitted(cluster, event)
    refused(cluster, event | {"reportingComponent": "kubelet"})
    refused(cluster, event | {"involvedObject": about | {"apiVersion": "v1", "kind": "Pod"}})
