"""NetworkPolicies of a tenant's namespace: everything is denied but the paths that a run needs."""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from agentic_core import names
from agentic_core.cluster.kinds import NETWORK_POLICY, Object
from agentic_crds.tenant import EgressRule
from agentic_operator.desired import metadata

LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fd00:ec2::254/128"), ip_network("fe80::/10"))
"""Where clouds serve credentials: not part of any range, however wide."""
OTLP_PORT = 4318
RUNTIME_PODS = {"matchLabels": {names.NAME: names.RUNTIME}}
EVERY_POD: dict[str, Any] = {}

Peer = dict[str, Any]


def network_policy(
    name: str,
    *,
    namespace: str,
    tenant: str,
    pods: dict[str, Any],
    ingress: Sequence[Any] | None = None,
    egress: Sequence[Any] | None = None,
) -> Object:
    """A policy for `pods`; a direction that is given is denied but for its rules, one that is None is left alone."""
    directions = {"Ingress": ingress, "Egress": egress}
    rules = {kind.lower(): list(rules) for kind, rules in directions.items() if rules}
    types = [kind for kind, rules in directions.items() if rules is not None]
    body = metadata.object_of(NETWORK_POLICY, name, namespace, metadata.labels(tenant=tenant))
    return body | {"spec": {"podSelector": pods, "policyTypes": types} | rules}


def default_deny(*, namespace: str, tenant: str) -> Object:
    """No pod talks to any, in either direction."""
    return network_policy("default-deny", namespace=namespace, tenant=tenant, pods=EVERY_POD, ingress=(), egress=())


def allow_dns(*, namespace: str, tenant: str) -> Object:
    """Pods may use the cluster's DNS."""
    rule = {
        "to": [_pods("kube-system", {"matchLabels": {"k8s-app": "kube-dns"}})],
        "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
    }
    return network_policy("allow-dns", namespace=namespace, tenant=tenant, pods=EVERY_POD, egress=[rule])


def allow_platform(*, namespace: str, tenant: str, platform: str, otlp_endpoint: str | None = None) -> Object:
    """Runtime pods may call the api and the gateway, and export their traces; the api may call them."""
    programs = {"matchExpressions": [{"key": names.NAME, "operator": "In", "values": [names.API, names.GATEWAY]}]}
    ports = [_tcp(port) for port in sorted({names.API_PORT, names.GATEWAY_PORT})]
    calls = {"to": [_pods(platform, programs)], "ports": ports}
    called = {
        "from": [_pods(platform, {"matchLabels": {names.NAME: names.API}})],
        "ports": [_tcp(names.RUNTIME_PORT)],
    }
    return network_policy(
        "allow-platform",
        namespace=namespace,
        tenant=tenant,
        pods=RUNTIME_PODS,
        ingress=[called],
        egress=[calls, *_collector(otlp_endpoint)],
    )


def allow_egress(rules: Sequence[EgressRule], *, namespace: str, tenant: str) -> Object:
    """Pods may reach the address ranges that the tenant names."""
    egress = [{"to": [_block(rule.cidr)], "ports": [_tcp(port) for port in rule.ports]} for rule in rules]
    return network_policy("allow-egress", namespace=namespace, tenant=tenant, pods=EVERY_POD, egress=egress)


def _pods(namespace: str, pods: dict[str, Any]) -> Peer:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}, "podSelector": pods}


def _tcp(port: int) -> dict[str, Any]:
    return {"protocol": "TCP", "port": port}


def _block(cidr: str) -> Peer:
    network = ip_network(cidr, strict=False)
    inside = [other for other in LINK_LOCAL if other.version == network.version and other != network]
    holes = [str(other) for other in inside if other.subnet_of(network)]  # type: ignore[arg-type]
    return {"ipBlock": {"cidr": str(network)} | ({"except": holes} if holes else {})}


def _collector(endpoint: str | None) -> list[dict[str, Any]]:
    """The rule for a collector inside the cluster, such as http://collector.observability:4318."""
    if not endpoint:
        return []
    url = urlsplit(endpoint)
    service, _, rest = (url.hostname or "").partition(".")
    namespace = rest.split(".")[0]
    inside = service and namespace and (rest == namespace or rest.startswith(f"{namespace}.svc"))
    return [{"to": [_pods(namespace, {})], "ports": [_tcp(url.port or OTLP_PORT)]}] if inside else []
