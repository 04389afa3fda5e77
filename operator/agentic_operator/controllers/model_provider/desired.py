"""What shall exist because of a ModelProvider: the right of operator and gateway to read exactly its Secret; pure.

The operator may not grant rights that it does not have. In the provider's namespace it therefore first binds itself
to a ClusterRole made for this, which is the only one that it may bind.
"""

from agentic_core import names
from agentic_crds import ModelProvider
from agentic_operator.controllers.model_provider.observed import ObservedProvider
from agentic_operator.desired import access
from agentic_operator.desired.platform import PlatformSettings
from agentic_operator.engine.decision import Wanted


def desired(provider: ModelProvider, observed: ObservedProvider, platform: PlatformSettings) -> Wanted:
    """Nothing without a Secret, and nothing in a namespace of no tenant."""
    ref = provider.spec.secret_ref
    if observed.tenant is None or ref is None:
        return Wanted()
    name, namespace = f"provider-{provider.metadata.name}", provider.metadata.namespace or ""
    own = access.role_binding(
        f"{name}-operator",
        namespace=namespace,
        tenant=observed.tenant,
        role=access.PROVIDER_SECRETS,
        kind="ClusterRole",
        account=names.OPERATOR,
        account_namespace=platform.namespace,
    )
    role = access.secret_role(name, namespace=namespace, tenant=observed.tenant, secret=ref.name)
    gateway = access.role_binding(
        f"{name}-gateway",
        namespace=namespace,
        tenant=observed.tenant,
        role=name,
        account=names.GATEWAY,
        account_namespace=platform.namespace,
    )
    return Wanted([own, role, gateway])
