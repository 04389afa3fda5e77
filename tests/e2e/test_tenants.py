"""A tenant never sees another's data, on the wire, in the cluster, in the database; and it goes without a trace."""

import json

import pytest

from tests.requirements import requirement
from tests.support import platform as support
from tests.support.platform import SYSTEM, Platform
from tests.support.waiting import until_sync

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

CONNECT = (
    "import socket,sys\n"
    "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2); print('open')\n"
    "except OSError as e: print('closed', e)"
)


def reach(platform: Platform, namespace: str, host: str, port: int) -> str:
    """Whether a runtime pod of a namespace can connect to an address: `open` or `closed`."""
    pod = platform.pods(namespace, "app.kubernetes.io/name=agent-runtime")[0]["metadata"]["name"]
    out = platform.kubectl("exec", "-n", namespace, pod, "--", "python3", "-c", CONNECT, host, str(port))
    return out.split()[0]


@requirement("data-isolation", "tenant-context")
def test_another_tenants_things_do_not_exist(platform: Platform, rival: str) -> None:
    run = platform.execute("assistant", "Say hello.")
    paths = [
        f"/api/v1/runs/{run['id']}",
        f"/api/v1/runs/{run['id']}/events",
        f"/api/v1/conversations/{run['conversation_id']}",
        "/api/v1/agents/acme-default.assistant",
        "/api/v1/agents/assistant",
    ]
    with platform.client(rival) as client:
        assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 404)
        headers = {"X-Tenant-ID": "acme", "X-Agentic-Tenant": "acme"}
        assert client.get("/api/v1/runs", headers=headers).json()["items"] == []
        answer = client.post("/api/v1/agents/acme-default.assistant/execute", json={"input": "Hi"})
        assert answer.status_code == 404
        assert client.delete(f"/api/v1/conversations/{run['conversation_id']}").status_code == 404


@requirement("tenant-namespaces")
def test_the_network_lets_a_run_do_its_work_and_nothing_else(platform: Platform, rival: str) -> None:
    pod = platform.pods("acme-default", "app.kubernetes.io/name=agent-runtime")[0]
    assert reach(platform, "acme-default", f"agentic-gateway.{SYSTEM}.svc", 8080) == "open"
    assert reach(platform, "rival-default", pod["status"]["podIP"], 8080) == "closed"
    assert reach(platform, "rival-default", "postgres.agentic-dev.svc", 5432) == "closed"
    assert reach(platform, "rival-default", "local-model.agentic-dev.svc", 8080) == "closed"


@requirement("secrets")
def test_a_runtime_pod_holds_no_secret(platform: Platform) -> None:
    pod = platform.pods("acme-default", "app.kubernetes.io/name=agent-runtime")[0]
    assert pod["spec"]["automountServiceAccountToken"] is False
    text = json.dumps(pod["spec"])
    assert "secretKeyRef" not in text
    assert '"secret"' not in text
    name = pod["metadata"]["name"]
    environ = platform.kubectl(
        "exec", "-n", "acme-default", name, "--", "python3", "-c", "import os; print(dict(os.environ))"
    )
    assert "PRIVATE KEY" not in environ
    assert "postgresql://" not in environ


def test_a_privileged_pod_is_refused(platform: Platform) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": "acme-default"},
        "spec": {"containers": [{"name": "c", "image": "x", "securityContext": {"privileged": True}}]},
    }
    answer = platform.kubectl("apply", "-f", "-", stdin=json.dumps(body), check=False)
    assert "violates PodSecurity" in answer


def test_a_deleted_tenant_leaves_nothing_behind(platform: Platform) -> None:
    platform.apply(support.tenant("gone"))
    platform.wait_ready("tenant", "gone")
    platform.apply(support.provider("gone-default"), support.agent("ghost", "gone-default"))
    platform.wait_ready("agent", "ghost", "gone-default")
    key = platform.new_key("gone")
    run = platform.execute("ghost", "Hi", key=key)
    uid = platform.get("tenant", "gone")["metadata"]["uid"]
    assert rows(platform, uid) > 0
    platform.kubectl("delete", "tenant", "gone", "--timeout=120s")
    assert "NotFound" in platform.kubectl("get", "namespace", "gone-default", check=False)
    with platform.client(key) as client:
        until_sync(
            lambda: client.get(f"/api/v1/runs/{run['id']}").status_code == 401, what="the key to end", seconds=15
        )
    assert rows(platform, uid) == 0


TABLES = """
select string_agg(format('select count(*) as n from %I where tenant_id = ''{tenant}''', c.relname), ' union all ')
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relkind in ('r', 'p') and not c.relispartition and a.attname = 'tenant_id'
    and c.relnamespace = 'public'::regnamespace
"""
"""Writes a query of the rows of one tenant in each table that has tenants."""


def rows(platform: Platform, tenant_id: str) -> int:
    """How many rows the database has of a tenant, counted by its superuser."""

    def psql(query: str) -> str:
        (pod,) = platform.pods("agentic-dev", "app.kubernetes.io/name=postgres")
        command = ["psql", "-At", "-c", query]
        return platform.kubectl("exec", "-n", "agentic-dev", pod["metadata"]["name"], "--", *command).strip()

    return sum(map(int, psql(psql(TABLES.format(tenant=tenant_id))).split()))
