"""The NetworkPolicies of the platform's namespace: who reaches whom, as tables."""

from ipaddress import ip_address, ip_network

import pytest

from agentic_api.settings import ApiSettings
from agentic_core.settings import Settings
from agentic_gateway.settings import GatewaySettings
from tests.manifests import charts
from tests.requirements import requirement

Rule = tuple[frozenset[str], frozenset[int]]
"""Peers and ports of a rule, in words."""

RUNTIMES = "agent-runtime pods in namespaces with agentic.io/tenant"
CHECK = "agentic-check pods"
OWN = "all pods"
"""Of the platform's namespace."""
ANYWHERE = "anywhere"
API_SERVER: Rule = (frozenset({"192.0.2.1/32"}), frozenset({443, 6443}))
DATABASE: Rule = (frozenset({"192.0.2.2/32"}), frozenset({5432}))
PROVIDERS: Rule = (frozenset({"0.0.0.0/0 without private ranges", "::/0 without private ranges"}), frozenset({443}))
INGRESS, EGRESS = "ingress", "egress"
SETTINGS: dict[str, type[Settings]] = {"agentic-api": ApiSettings, "agentic-gateway": GatewaySettings}


def pods(selector: charts.Object) -> str:
    """A pod selector in words."""
    names = list(selector.get("matchLabels", {}).values())
    for expression in selector.get("matchExpressions", []):
        names += expression.get("values", [])
    return f"{' and '.join(names)} pods" if names else "all pods"


def namespaces(selector: charts.Object) -> str:
    """A namespace selector in words."""
    keys = [expression["key"] for expression in selector.get("matchExpressions", [])]
    return " and ".join([*(f"{value}" for value in selector.get("matchLabels", {}).values()), *keys])


def peer(peer: charts.Object) -> str:
    """A peer in words."""
    if block := peer.get("ipBlock"):
        return f"{block['cidr']} without private ranges" if block.get("except") else str(block["cidr"])
    if "namespaceSelector" not in peer:
        return pods(peer["podSelector"])
    place = namespaces(peer["namespaceSelector"])
    return f"{pods(peer['podSelector'])} in namespaces with {place}" if "podSelector" in peer else f"namespace {place}"


def rules(values: str, name: str, direction: str) -> set[Rule]:
    """The rules of one policy."""
    spec = charts.one(charts.platform(values), "NetworkPolicy", name)["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    side = "from" if direction == INGRESS else "to"
    return {
        (
            frozenset(peer(one) for one in rule[side]) if side in rule else frozenset({ANYWHERE}),
            frozenset(port["port"] for port in rule["ports"]),
        )
        for rule in spec.get(direction, [])
    }


def on(port: int, *peers: str) -> Rule:
    """A rule for one port."""
    return frozenset(peers), frozenset({port})


def test_everything_is_denied_but_dns() -> None:
    spec = charts.one(charts.platform("defaults"), "NetworkPolicy", "agentic-default-deny")["spec"]
    assert spec["podSelector"] == {}
    assert rules("defaults", "agentic-default-deny", INGRESS) == set()
    assert rules("defaults", "agentic-default-deny", EGRESS) == {on(53, "namespace kube-system")}


@pytest.mark.parametrize(
    ("name", "ingress", "egress"),
    [
        ("agentic-api", {on(8080, ANYWHERE), on(9090, OWN)}, {API_SERVER, DATABASE, on(8080, RUNTIMES)}),
        ("agentic-gateway", {on(8080, RUNTIMES, CHECK), on(9090, OWN)}, {API_SERVER, DATABASE, PROVIDERS}),
        ("agentic-operator", set(), {API_SERVER, PROVIDERS}),
        ("agentic-install", set(), {API_SERVER, DATABASE}),
        ("agentic-check", set(), {on(8080, "agentic-api and agentic-gateway pods")}),
    ],
)
@requirement("helm")
def test_each_program_has_the_paths_it_needs(name: str, ingress: set[Rule], egress: set[Rule]) -> None:
    assert rules("defaults", name, INGRESS) == ingress
    assert rules("defaults", name, EGRESS) == egress


def test_paths_can_be_narrowed_and_models_inside_added() -> None:
    monitoring = "namespace monitoring"
    metrics = on(9090, monitoring, OWN)
    assert rules("everything", "agentic-api", INGRESS) == {on(8080, "namespace ingress", RUNTIMES, CHECK), metrics}
    assert rules("everything", "agentic-gateway", INGRESS) == {on(8080, RUNTIMES, CHECK), metrics}
    assert rules("everything", "agentic-operator", INGRESS) == {on(8080, monitoring)}
    assert rules("everything", "agentic-gateway", EGRESS) == {
        on(6443, "192.0.2.1/32"),
        on(6432, "192.0.2.2/32"),
        on(4318, monitoring),
        on(8000, "namespace yes"),
        PROVIDERS,
    }


@pytest.mark.parametrize("values", ["defaults", "everything"])
@pytest.mark.parametrize("name", ["agentic-api", "agentic-gateway"])
def test_tenants_pods_do_not_reach_the_port_of_metrics(name: str, values: str) -> None:
    port = SETTINGS[name].model_fields["metrics_port"].default
    (container,) = charts.one(charts.platform(values), "Deployment", name)["spec"]["template"]["spec"]["containers"]
    assert {"name": "metrics", "containerPort": port} in container["ports"]
    assert [
        peers for peers, ports in rules(values, name, INGRESS) if port in ports and peers & {RUNTIMES, ANYWHERE}
    ] == []


@pytest.mark.parametrize("values", ["defaults", "everything"])
def test_every_pod_has_a_policy(values: str) -> None:
    objects = charts.platform(values)
    for owner, pod in charts.pod_templates(objects).items():
        name = pod["metadata"]["labels"]["app.kubernetes.io/name"]
        spec = charts.one(objects, "NetworkPolicy", name)["spec"]
        assert spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), owner


def test_private_ranges_are_no_place_for_providers() -> None:
    spec = charts.one(charts.platform("defaults"), "NetworkPolicy", "agentic-gateway")["spec"]
    blocks = [one["ipBlock"] for rule in spec["egress"] for one in rule.get("to", []) if "ipBlock" in one]
    excluded = {cidr for block in blocks for cidr in block.get("except", [])}
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"} <= excluded


def reached(objects: list[charts.Object], name: str, address: str) -> set[int]:
    """The ports of an address that pods of a program reach: the union of the rules of all policies for them."""
    found: set[int] = set()
    for obj in objects:
        selector = obj["spec"]["podSelector"].get("matchLabels", {}) if obj["kind"] == "NetworkPolicy" else {"": ""}
        if not selector.items() <= {"app.kubernetes.io/name": name}.items():
            continue
        for rule in obj["spec"].get("egress", []):
            if any(contains(one, address) for one in rule.get("to", [{"ipBlock": {"cidr": "0.0.0.0/0"}}])):
                found |= {port["port"] for port in rule["ports"]}
    return found


def contains(peer: charts.Object, address: str) -> bool:
    """Whether a peer is a range with this address."""
    block = peer.get("ipBlock")
    if not block or ip_address(address).version != ip_network(block["cidr"]).version:
        return False
    holes = map(ip_network, block.get("except", []))
    return ip_address(address) in ip_network(block["cidr"]) and not any(ip_address(address) in hole for hole in holes)


PRIVATE = (
    "10.0.0.1", "10.96.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "fd00:ec2::254", "fc00::1", "fe80::1",
)  # fmt: skip
PLACES = {
    "apiServer": {"to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}]},
    "database": {"to": [{"ipBlock": {"cidr": "10.0.0.0/30"}}]},
}


@requirement("helm")
@pytest.mark.parametrize("name", ["agentic-api", "agentic-gateway", "agentic-operator", "agentic-install"])
def test_of_private_addresses_only_those_that_are_named_are_reached(name: str) -> None:
    """Rules add up: a single open one would make the exceptions for private ranges worthless."""
    objects = charts.parse(charts.template(charts.PLATFORM, {"networkPolicy": PLACES}))
    opened = {address: ports for address in PRIVATE if (ports := reached(objects, name, address))}
    database = {} if name == "agentic-operator" else {"10.0.0.1": {5432}}
    assert opened == {"10.96.0.1": {443, 6443}} | database
    internet = {443} if name in ("agentic-gateway", "agentic-operator") else set()
    assert reached(objects, name, "93.184.215.14") == reached(objects, name, "2606:2800::1") == internet


def test_policies_can_be_left_to_others() -> None:
    assert not [obj for obj in charts.platform("minimal") if obj["kind"] == "NetworkPolicy"]
