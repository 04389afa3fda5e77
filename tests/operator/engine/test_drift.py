"""What counts as drift and what does not."""

from typing import Any

import pytest

from agentic_operator.engine.drift import difference

CONTAINER = {"name": "main", "image": "a:1", "resources": {"limits": {"memory": "512Mi"}}}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"spec": {"containers": [CONTAINER]}}, {"spec": {"containers": [{"name": "sidecar"}, CONTAINER]}}),
        ({"cpu": "1000m"}, {"cpu": "1"}),
        ({"cpu": 1}, {"cpu": "1"}),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}),
        ({"egress": []}, {}),
        ({"podSelector": {}}, {"podSelector": {}}),
        ({"replicas": 0}, {}),
        ({"args": ["a", "b"]}, {"args": ["a", "b"]}),
        ({"spec": {"ports": [{"port": 1}]}}, {"spec": {"ports": [{"port": 2}, {"port": 1, "targetPort": 1}]}}),
        ({"to": [{"ipBlock": {"cidr": "::/0"}}]}, {"to": [{"ipBlock": {"cidr": "::/0"}}]}),
    ],
)
def test_what_is_no_drift(wanted: Any, found: Any) -> None:
    assert difference(wanted, found) is None


@pytest.mark.parametrize(
    ("wanted", "found", "where"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
        ({"a": {"b": 1}}, {}, "a.b"),
        ({"a": {"b": 1}}, {"a": "text"}, "a.b"),
        ({"cpu": "1"}, {"cpu": "2"}, "cpu"),
        ({"containers": [CONTAINER]}, {"containers": [CONTAINER | {"image": "b"}]}, "containers[0].image"),
        ({"containers": [CONTAINER]}, {"containers": [{"name": "other"}]}, "containers[0]"),
        ({"args": ["a", "b"]}, {"args": ["a", "b", "c"]}, "args"),
        ({"args": ["a", "b"]}, {"args": ["b", "a"]}, "args[0]"),
        ({"egress": [{"to": [1]}]}, {"egress": [{"to": [1]}, {}]}, "egress"),
        ({"spec": {"ports": [{"port": 1}]}}, None, "spec.ports[0]"),
        (
            {"egress": [{"ports": [{"port": 1}]}]},
            {"egress": [{"ports": [{"port": 1}, {"port": 2}]}]},
            "egress[0].ports",
        ),
    ],
)
def test_what_is_drift(wanted: Any, found: Any, where: str) -> None:
    assert difference(wanted, found) == where
