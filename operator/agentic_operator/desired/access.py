"""Roles and their bindings: who may read which Secret."""

from agentic_core.cluster.kinds import ROLE, ROLE_BINDING, Object
from agentic_operator.desired import metadata

RBAC_GROUP = "rbac.authorization.k8s.io"
PROVIDER_SECRETS = "agentic-provider-secrets"
"""The ClusterRole that the operator binds itself to in namespaces of tenants that have ModelProviders."""


def secret_role(name: str, *, namespace: str, tenant: str, secret: str) -> Object:
    """The right to read exactly one Secret."""
    body = metadata.object_of(ROLE, name, namespace, metadata.labels(tenant=tenant))
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}
    return body | {"rules": [rule]}


def role_binding(
    name: str, *, namespace: str, tenant: str, role: str, account: str, account_namespace: str, kind: str = "Role"
) -> Object:
    """The role `role` (a Role or a ClusterRole, by `kind`) for one ServiceAccount, in this namespace only."""
    body = metadata.object_of(ROLE_BINDING, name, namespace, metadata.labels(tenant=tenant))
    return body | {
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
    }
