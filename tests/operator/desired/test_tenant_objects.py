"""What a tenant's namespace is made of, as whole objects."""

from agentic_crds.tenant import Compute, EgressRule, OwnPolicies, Quotas
from agentic_operator.desired import access, namespace, network

LABELS = {
    "agentic.io/tenant": "acme",
    "app.kubernetes.io/managed-by": "agentic-operator",
    "app.kubernetes.io/part-of": "agentic-platform",
}
HEAD = {"namespace": "acme-default", "labels": LABELS}
RUNTIME_PODS = {"matchLabels": {"app.kubernetes.io/name": "agent-runtime"}}


def test_namespace() -> None:
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    marks = {"agentic.io/tenant-uid": "u1", "agentic.io/own-network-policies": "Denied"}
    assert namespace.namespace("acme-default", tenant="acme", uid="u1") == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "acme-default", "labels": LABELS | marks | levels},
    }
    own = namespace.namespace("acme-default", tenant="acme", uid="u1", own_policies=OwnPolicies.ALLOWED)
    assert own["metadata"]["labels"]["agentic.io/own-network-policies"] == "Allowed"


def test_service_account() -> None:
    assert namespace.service_account("agent-runtime", namespace="acme-default", tenant="acme") == {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": HEAD | {"name": "agent-runtime"},
        "automountServiceAccountToken": False,
    }


def test_resource_quota() -> None:
    quotas = Quotas(agents=7, objects={"modelproviders": 5, "secrets": 3})
    assert namespace.resource_quota(quotas, namespace="acme-default", tenant="acme") == {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": HEAD | {"name": "tenant"},
        "spec": {
            "hard": {
                "requests.cpu": "8",
                "requests.memory": "16Gi",
                "limits.cpu": "100",
                "limits.memory": "64Gi",
                "limits.ephemeral-storage": "100Gi",
                "pods": "100",
                "count/modelproviders.agentic.io": "5",
                "count/agents.agentic.io": "7",
                "count/configmaps": "2000",
                "count/secrets": "3",
                "count/services": "2000",
                "count/persistentvolumeclaims": "50",
            }
        },
    }


def test_limit_range() -> None:
    limit = {
        "type": "Container",
        "max": {"cpu": "8", "memory": "16Gi", "ephemeral-storage": "10Gi"},
        "default": {"cpu": "2", "memory": "512Mi", "ephemeral-storage": "1Gi"},
        "defaultRequest": {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
    }
    small = namespace.limit_range(Compute(container_cpu="1", container_memory="64Mi"), namespace="n", tenant="acme")
    (least,) = small["spec"]["limits"]
    assert least["default"] == {"cpu": "1", "memory": "64Mi", "ephemeral-storage": "1Gi"}
    assert least["defaultRequest"]["memory"] == "64Mi", "the API server refuses defaults above the maximum"
    assert namespace.limit_range(Compute(), namespace="acme-default", tenant="acme") == {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": HEAD | {"name": "tenant"},
        "spec": {"limits": [limit]},
    }


def policy(name: str, spec: object) -> object:
    """A NetworkPolicy of the tenant."""
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": HEAD | {"name": name}}
    return head | {"spec": spec}


def test_default_deny() -> None:
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert network.default_deny(namespace="acme-default", tenant="acme") == policy("default-deny", spec)


def test_allow_dns() -> None:
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [peer], "ports": ports}]}
    assert network.allow_dns(namespace="acme-default", tenant="acme") == policy("allow-dns", spec)


def test_allow_platform() -> None:
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "agentic-system"}}}
    programs = {"key": "app.kubernetes.io/name", "operator": "In", "values": ["agentic-api", "agentic-gateway"]}
    port = [{"protocol": "TCP", "port": 8080}]
    spec = {
        "podSelector": RUNTIME_PODS,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [system | {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "agentic-api"}}}],
                "ports": port,
            }
        ],
        "egress": [{"to": [system | {"podSelector": {"matchExpressions": [programs]}}], "ports": port}],
    }
    built = network.allow_platform(namespace="acme-default", tenant="acme", platform="agentic-system")
    assert built == policy("allow-platform", spec)


def test_traces_leave_for_a_collector_inside_the_cluster_only() -> None:
    def collector(endpoint: str) -> object:
        built = network.allow_platform(
            namespace="acme-default", tenant="acme", platform="agentic-system", otlp_endpoint=endpoint
        )
        return built["spec"]["egress"][1:]

    watching = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "watching"}},
        "podSelector": {},
    }
    assert collector("http://otel.watching:4317") == [{"to": [watching], "ports": [{"protocol": "TCP", "port": 4317}]}]
    assert collector("http://otel.watching.svc.cluster.local") == [
        {"to": [watching], "ports": [{"protocol": "TCP", "port": 4318}]}
    ]
    assert collector("https://otel.example.com") == []


def test_allow_egress_never_reaches_metadata_services() -> None:
    rules = [EgressRule(cidr="203.0.113.7/24", ports=[443, 8443]), EgressRule(cidr="0.0.0.0/0")]
    spec = {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
                "ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 8443}],
            },
            {
                "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}],
                "ports": [{"protocol": "TCP", "port": 443}],
            },
        ],
    }
    assert network.allow_egress(rules, namespace="acme-default", tenant="acme") == policy("allow-egress", spec)


def test_secret_role_and_its_binding() -> None:
    group = "rbac.authorization.k8s.io"
    assert access.secret_role("provider-x", namespace="acme-default", tenant="acme", secret="keys") == {
        "apiVersion": f"{group}/v1",
        "kind": "Role",
        "metadata": HEAD | {"name": "provider-x"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["keys"], "verbs": ["get"]}],
    }
    assert access.role_binding(
        "b",
        namespace="acme-default",
        tenant="acme",
        role="provider-x",
        account="gw",
        account_namespace="agentic-system",
    ) == {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": HEAD | {"name": "b"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "provider-x"},
        "subjects": [{"kind": "ServiceAccount", "name": "gw", "namespace": "agentic-system"}],
    }
