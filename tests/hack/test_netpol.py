"""The rules that enforce NetworkPolicies on the bare cluster: what the fields of a policy become, as nft accepts it."""

import io
import json
import os
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest

from tests.hack.netpol import SCRIPT, Object, chains, egress, ingress, match, namespace, netpol, pod, policy, rules

PODS = [
    pod("a", "x", "10.0.0.1", [("TCP", "web", 80), ("UDP", "dns", 53)], pod="x"),
    pod("a", "y", "10.0.0.2", [("TCP", "web", 81)], pod="y"),
    pod("b", "x", "10.0.0.3", [("TCP", "web", 80)], pod="x"),
    pod("b", "y", "10.0.0.4", pod="y"),
]
NAMESPACES = [namespace("a", ns="a"), namespace("b", ns="b")]


def term(key: str, operator: str, *values: str) -> Object:
    return {"matchExpressions": [{"key": key, "operator": operator} | ({"values": list(values)} if values else {})]}


def allowed(direction: str, rule: Object, *, pods: list[Object] | None = None) -> list[str]:
    """What a policy with this one rule lets through, as lines of nft."""
    spec = ingress(rule) if direction == "ingress" else egress(rule)
    return rules(pods or PODS, NAMESPACES, policy("a", "p", spec))[f"chain {direction}/a/p"]


def test_without_policies_nothing_is_isolated() -> None:
    assert set(rules(PODS, NAMESPACES)) == {"map ingress", "map egress", "chain ingress", "chain egress"}


def test_deny_all_isolates_the_pods_of_its_namespace() -> None:
    found = rules(PODS, NAMESPACES, policy("a", "p", {"policyTypes": ["Ingress", "Egress"]}))
    assert found["chain ingress/a/p"] == found["chain egress/a/p"] == []
    assert found["chain ingress-of-10.0.0.1"] == ["ip saddr 10.0.0.1 accept", "jump ingress/a/p", "counter drop"]
    assert found["chain egress-of-10.0.0.2"] == ["ip daddr 10.0.0.2 accept", "jump egress/a/p", "counter drop"]
    assert "chain ingress-of-10.0.0.3" not in found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, "i"), ({"ingress": [{}]}, "i"), ({"egress": [{}]}, "ie"), ({"egress": []}, "i"), (ingress(egress=[{}]), "i")],
)
def test_a_policy_restricts_the_directions_of_its_types(spec: Object, expected: str) -> None:
    found = rules(PODS, NAMESPACES, policy("a", "p", spec))
    assert "".join(way[0] for way in ("ingress", "egress") if f"chain {way}/a/p" in found) == expected


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        ([{"podSelector": match(pod="y")}], ["10.0.0.2"]),
        ([{"podSelector": {}}], ["10.0.0.1, 10.0.0.2"]),
        ([{"namespaceSelector": match(ns="b")}], ["10.0.0.3, 10.0.0.4"]),
        ([{"namespaceSelector": {}, "podSelector": match(pod="x")}], ["10.0.0.1, 10.0.0.3"]),
        ([{"namespaceSelector": match(ns="b")}, {"podSelector": match(pod="x")}], ["10.0.0.3, 10.0.0.4", "10.0.0.1"]),
        ([{"namespaceSelector": match(ns="c")}], []),
    ],
)
def test_peers_become_the_addresses_of_their_pods(peers: list[Object], expected: list[str]) -> None:
    assert allowed("ingress", {"from": peers}) == [f"ip saddr {{ {ips} }} accept" for ips in expected]
    assert allowed("egress", {"to": peers}) == [f"ip daddr {{ {ips} }} accept" for ips in expected]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (term("pod", "In", "x", "z"), True),
        (term("pod", "In", "y"), False),
        (term("pod", "NotIn", "x"), False),
        (term("no", "NotIn", "x"), True),
        (term("pod", "Exists"), True),
        (term("no", "Exists"), False),
        (term("no", "DoesNotExist"), True),
        (match(pod="x") | term("pod", "NotIn", "x"), False),
        (match(pod="x", no=""), False),
        ({}, True),
    ],
)
def test_selectors_match_labels_as_kubernetes_does(selector: Object, expected: bool) -> None:
    assert netpol.selects(selector, {"pod": "x"}) is expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"cidr": "0.0.0.0/0"}, ["ip daddr 0.0.0.0/0 accept"]),
        ({"cidr": "10.1.2.3/8"}, ["ip daddr 10.0.0.0/8 accept"]),
        (
            {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.2.0/24", "10.3.0.0/16"]},
            ["ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16, 10.3.0.0/16 } accept"],
        ),
        ({"cidr": "::/0", "except": ["fc00::/7"]}, []),
    ],
)
def test_address_blocks_leave_out_their_exceptions(block: Object, expected: list[str]) -> None:
    assert allowed("egress", {"to": [{"ipBlock": block}]}) == expected


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({"port": 80}, "tcp dport 80"),
        ({"port": 53, "protocol": "UDP"}, "udp dport 53"),
        ({"port": 80, "endPort": 90}, "tcp dport 80-90"),
        ({"protocol": "SCTP"}, "meta l4proto sctp"),
        ({}, "meta l4proto tcp"),
        ({"port": "web"}, "ip daddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 81, 10.0.0.3 . 80 }"),
        ({"port": "dns", "protocol": "UDP"}, "ip daddr . udp dport { 10.0.0.1 . 53 }"),
    ],
)
def test_ports_become_matches_of_protocol_and_range(port: Object, expected: str) -> None:
    assert allowed("ingress", {"ports": [port]}) == [f"{expected} accept"]


def test_a_port_name_that_no_pod_has_lets_nothing_through() -> None:
    assert allowed("egress", {"ports": [{"port": "dns", "protocol": "TCP"}]}) == []


def test_each_peer_with_each_port() -> None:
    rule = {
        "from": [{"podSelector": match(pod="y")}, {"ipBlock": {"cidr": "10.9.0.0/16"}}],
        "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}],
    }
    assert allowed("ingress", rule) == [
        "ip saddr { 10.0.0.2 } tcp dport 80 accept",
        "ip saddr { 10.0.0.2 } udp dport 53 accept",
        "ip saddr 10.9.0.0/16 tcp dport 80 accept",
        "ip saddr 10.9.0.0/16 udp dport 53 accept",
    ]


def test_pods_without_a_place_in_the_rules() -> None:
    host, done, waiting, six = (
        pod("a", name, ip, pod="z") for name, ip in [("h", "10.0.0.8"), ("d", "10.0.0.9"), ("w", ""), ("s", "fd00::1")]
    )
    host["spec"]["hostNetwork"], done["status"]["phase"] = True, "Succeeded"
    del waiting["status"]
    assert allowed("ingress", {"from": [{"podSelector": match(pod="z")}]}, pods=[host, done, waiting, six]) == []


def test_of_two_pods_with_one_address_the_newer_counts() -> None:
    old, new = pod("b", "old", "10.0.0.1"), pod("a", "new", "10.0.0.1")
    old["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    new["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    assert [endpoint.namespace for endpoint in netpol.endpoints([new, old])] == ["a"]


def test_order_does_not_matter() -> None:
    policies = [policy("a", name, ingress()) for name in "pq"]
    there = netpol.ruleset(PODS, NAMESPACES, policies)
    assert there == netpol.ruleset(PODS[::-1], NAMESPACES[::-1], policies[::-1])


def test_the_longest_names_stay_apart() -> None:
    long = "n" * 63
    pods = [pod(long, "x", "10.0.0.1")]
    found = rules(pods, NAMESPACES, *(policy(long, "p" * 252 + end, ingress({})) for end in "xy"))
    jumps = {line.removeprefix("jump ") for line in found["chain ingress-of-10.0.0.1"] if line.startswith("jump")}
    assert len(jumps) == 2
    assert {f"chain {jump}" for jump in jumps} <= set(found)


def test_the_node_is_guarded_on_request() -> None:
    assert "ip saddr vmap @egress" in rules(PODS, NAMESPACES, guard_node=True)["chain node"]
    assert "chain node" not in chains(netpol.ruleset(PODS, NAMESPACES, []))


class EnoughError(Exception):
    """Ends a watch that would go on for ever."""


def test_a_watch_follows_events_and_lists_anew_when_it_breaks() -> None:
    def thing(uid: str, version: str) -> Object:
        return {"metadata": {"uid": uid, "resourceVersion": version}}

    def listing(version: str, *uids: str) -> io.StringIO:
        items = [thing(uid, version) for uid in uids]
        return io.StringIO(json.dumps({"metadata": {"resourceVersion": version}, "items": items}))

    def events(*pairs: tuple[str, Object]) -> list[str]:
        return [json.dumps({"type": kind, "object": what}) for kind, what in pairs]

    answers: Any = iter(
        [
            listing("5", "p", "q"),
            events(("ADDED", thing("r", "6")), ("DELETED", thing("p", "7")), ("BOOKMARK", thing("none", "9"))),
            events(("ERROR", {"code": 410, "message": "too old"})),
            listing("20", "s"),
            ConnectionResetError("reset"),
            listing("30", "t"),
            EnoughError(),
        ]
    )
    state = netpol.State()
    asked: list[str] = []
    seen: list[list[str]] = []

    def get(_server: str, _tls: object, path: str) -> Any:
        seen.append(sorted(state.objects.get("policies", {})))
        asked.append("list" if "?" not in path else path.rsplit("=", 1)[1])
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    quiet = mock.patch.multiple(netpol, get=get, log=lambda _: None)
    with quiet, mock.patch("time.sleep"), pytest.raises(EnoughError):
        netpol.watch("", None, "policies", state)
    assert asked == ["list", "5", "9", "list", "20", "list", "30"]
    assert seen == [[], ["p", "q"], ["q", "r"], ["q", "r"], ["s"], ["s"], ["t"]]


def test_the_address_from_the_network_plugin_comes_first() -> None:
    state = netpol.State()
    for resource in netpol.RESOURCES:
        state.replace(resource, PODS[:1] if resource == "pods" else [])
    state.addresses["a/x"] = "10.0.0.77"
    assert state.view()[0][0]["status"]["podIP"] == "10.0.0.77"
    state.update("pods", "DELETED", PODS[0])
    assert state.addresses == {}


def plugin(command: str, config: Object | None = None) -> tuple[int, Any]:
    """The answer of the network plugin, called as its runtime calls it."""
    environ = {"CNI_COMMAND": command, "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_UID=u-1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environ, input=json.dumps(config), capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout or "null")


def test_a_pod_is_held_back_while_nobody_enforces_its_rules() -> None:
    assert plugin("DEL") == (0, None)
    assert "1.0.0" in plugin("VERSION")[1]["supportedVersions"]
    config = {"cniVersion": "1.0.0", "prevResult": {"ips": [{"address": "10.0.0.9/24"}]}}
    status, answer = plugin("ADD", config)
    assert (status, answer["code"]) == (1, 11)
