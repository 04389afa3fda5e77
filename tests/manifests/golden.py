"""Writes tests/data/rbac-golden.txt, all rights of the platform: `python -m tests.manifests.golden`.

Run it after a change of rights. A test compares it with a real API server, so that widened rights show up in a review.
"""

import tempfile
from pathlib import Path

from tests.manifests import charts
from tests.manifests.cluster import API, GATEWAY, INSTALL, OPERATOR, TENANT_NAMESPACE, Cluster, installed

FILE = charts.ROOT / "tests/data/rbac-golden.txt"
HEAD = """\
# What each ServiceAccount of the platform may do, as a real API server sums it up (SelfSubjectRulesReview).
# Written by `python -m tests.manifests.golden`. What every ServiceAccount of a cluster may do is left out.
"""
TENANT = TENANT_NAMESPACE["metadata"]["name"]  # type: ignore[index]
BOUND = "bound"


def provider_binding(namespace: str, account: str, role: str = "agentic-provider-secrets") -> charts.Object:
    """What the operator binds in a namespace that has a ModelProvider."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{account}-{role}", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": charts.NAMESPACE}],
    }


def text(cluster: Cluster) -> str:
    """The whole file, from what the API server answers now."""
    bound = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": BOUND, "labels": {"agentic.io/tenant": "acme"}},
    }
    bindings = [provider_binding(BOUND, account) for account in (OPERATOR, GATEWAY)]
    complaint = cluster.apply(bound) or cluster.apply(*bindings, account=OPERATOR)
    assert not complaint, complaint
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
