"""Writes tests/data/rbac-golden.txt, all rights of the platform: `python -m tests.manifests.golden`.

Run it after a change of rights. A test compares it with a real API server, so that widened rights show up in a review.
"""

import tempfile
from pathlib import Path

from agentic_operator.desired import access
from tests.manifests import charts
from tests.manifests.cluster import (
    API,
    GATEWAY,
    INSTALL,
    OPERATOR,
    TENANT_NAMESPACE,
    Cluster,
    installed,
    tenant_namespace,
)
from tests.support.waiting import until_sync

FILE = charts.ROOT / "tests/data/rbac-golden.txt"
HEAD = """\
# What each ServiceAccount of the platform, and people of tenants, may do, as a real API server sums it up
# (SelfSubjectRulesReview).
# Written by `python -m tests.manifests.golden`. What every ServiceAccount of a cluster may do is left out.
"""
TENANT = TENANT_NAMESPACE["metadata"]["name"]
BOUND = "bound"
LEVELS = ("viewer", "developer", "admin")


def provider_binding(namespace: str, account: str, role: str = access.PROVIDER_SECRETS) -> charts.Object:
    """A ClusterRole for a program of the platform, as the operator binds it in a namespace that has a ModelProvider."""
    return access.role_binding(
        f"provider-{account}",
        namespace=namespace,
        tenant="acme",
        role=role,
        kind="ClusterRole",
        account=account,
        account_namespace=charts.NAMESPACE,
    )


def provider_rights(cluster: Cluster, namespace: str) -> None:
    """Do what the operator does for a ModelProvider: allow itself to read Secrets there, and the gateway the one."""
    role = access.secret_role("provider-openai", namespace=namespace, tenant="acme", secret="openai")
    gateway = access.role_binding(
        "provider-openai-gateway",
        namespace=namespace,
        tenant="acme",
        role="provider-openai",
        account=GATEWAY,
        account_namespace=charts.NAMESPACE,
    )
    complaint = cluster.apply(tenant_namespace(namespace), account=OPERATOR) or cluster.apply(
        provider_binding(namespace, OPERATOR), account=OPERATOR
    )
    assert not complaint, complaint
    until_sync(lambda: not cluster.apply(role, gateway, account=OPERATOR), "a right that may be handed on")


def person(cluster: Cluster, level: str) -> str:
    """A user with one of the roles for people of tenants, in the namespace of the tenant."""
    name = f"{level}-of-acme"
    made = cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": TENANT},
            "roleRef": {"apiGroup": access.RBAC_GROUP, "kind": "ClusterRole", "name": f"agentic-tenant-{level}"},
            "subjects": [{"apiGroup": access.RBAC_GROUP, "kind": "User", "name": name}],
        }
    )
    assert not made, made
    until_sync(
        lambda: cluster.kubectl("auth", "can-i", "get", "agents", "-n", TENANT, user=name).stdout == "yes\n", name
    )
    return name


def text(cluster: Cluster) -> str:
    """The whole file, from what the API server answers now."""
    provider_rights(cluster, BOUND)
    everybody = cluster.rules("nobody", TENANT)
    sections = [HEAD]
    for account in (API, GATEWAY, INSTALL, OPERATOR):
        anywhere = cluster.rules(account, TENANT) - everybody
        sections += [_section(f"{account}, anywhere", anywhere)]
        sections += [
            _section(
                f"{account}, also in {charts.NAMESPACE}",
                cluster.rules(account, charts.NAMESPACE) - anywhere - everybody,
            )
        ]
        sections += [
            _section(f"{account}, also where a ModelProvider is", cluster.rules(account, BOUND) - anywhere - everybody)
        ]
    for level in LEVELS:
        rules = cluster.rules(None, TENANT, user=person(cluster, level)) - everybody
        sections += [_section(f"agentic-tenant-{level}, where it is bound", rules)]
    return "".join(sections)


def _section(title: str, rules: set[str]) -> str:
    return f"\n## {title}\n" + "".join(f"{rule}\n" for rule in sorted(rules)) if rules else ""


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as cluster:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(text(cluster))


if __name__ == "__main__":
    main()
