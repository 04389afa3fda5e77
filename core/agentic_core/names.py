"""Every name that two programs must agree on: labels, annotations, managers, conditions, reasons, ports.

All packages import it; nothing here is computed from input.
"""

GROUP = "agentic.io"

# Labels
TENANT = f"{GROUP}/tenant"
"""Name of the Tenant that a namespace or an object belongs to."""
TENANT_UID = f"{GROUP}/tenant-uid"
"""Uid of the Tenant that a namespace belongs to: the next Tenant of its name is another customer."""
OWNER_KIND = f"{GROUP}/owner-kind"
"""Kind of the resource that an object was made for."""
OWNER_NAME = f"{GROUP}/owner-name"
OWNER_NAMESPACE = f"{GROUP}/owner-namespace"
"""Namespace of the owner; absent for a cluster-scoped owner."""
OWNER_CONTROLLER = f"{GROUP}/owner-controller"
"""Name of the owner's controller that made an object; absent for the main controller of the owner's kind."""
AGENT = f"{GROUP}/agent"
OWN_NETWORK_POLICIES = f"{GROUP}/own-network-policies"
"""On a namespace: whether others than the operator may make NetworkPolicies there, as its Tenant says."""
PROVIDER_KEY = f"{GROUP}/provider-key"
"""`true` on a Secret lets ModelProviders of its namespace send its keys to their providers."""
PROMPT_VERSION = f"{GROUP}/prompt-version"
"""Name of the PromptVersion that an AgentRevision refers to; absent where the prompt is in the revision."""
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
NAME = "app.kubernetes.io/name"
PART_OF = "app.kubernetes.io/part-of"
PLATFORM = "agentic-platform"

# Annotations
ADOPT = f"{GROUP}/adopt"
"""`true` on a foreign object lets the operator take it over."""
DELETE = f"{GROUP}/delete"
"""`true` on a namespace that its Tenant does not declare any more lets the operator delete it with all in it."""
SPEC_HASH = f"{GROUP}/spec-hash"
STORED_BYTES = f"{GROUP}/stored-bytes"
"""Size of the JSON of an AgentRevision's or PromptVersion's spec, which counts for the tenant's budget."""
SCALED_BACK = f"{GROUP}/scaled-back"
"""`true` on the Deployment of a shared runtime that the operator scaled back to one pod."""

# Finalizers
FINALIZER = f"{GROUP}/finalizer"
"""Held by the operator while something outside an object's own cluster or namespace remains."""
DATA_FINALIZER = f"{GROUP}/data"
"""Held by the api on a Tenant while the database has rows of it."""

# Field managers of server-side apply
OPERATOR_MANAGER = "agentic-operator"
STATUS_MANAGER = "agentic-operator-status"
API_MANAGER = "agentic-api"

# Programs: the value of `app.kubernetes.io/name` of their pods, the name of their Service, and their port
API = "agentic-api"
GATEWAY = "agentic-gateway"
OPERATOR = "agentic-operator"
RUNTIME = "agent-runtime"
API_PORT = 8080
GATEWAY_PORT = 8080
RUNTIME_PORT = 8080
OPERATOR_PORT = 8080

# Types of conditions, as kstatus reads them
READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
RESOLVED = "Resolved"
RUNTIME_READY = "RuntimeReady"
REACHABLE = "Reachable"
CONFLICT = "Conflict"
NAMESPACES_RETAINED = "NamespacesRetained"
SUMMARY_CONDITIONS = (READY, RECONCILING, STALLED, CONFLICT)
"""Conditions that say how a whole resource is; they belong to the main controller of its kind."""


def revision_name(agent: str, digest: str) -> str:
    """The name of the AgentRevision of `agent` whose definition hashes to `digest` (hex)."""
    return f"{agent}-{digest[:10]}"


def runtime_url(runtime: str, namespace: str) -> str:
    """Where the api calls the runtime of this name: `RUNTIME`, or the `dedicated_name` of an agent."""
    return f"http://{runtime}.{namespace}.svc:{RUNTIME_PORT}"


def dedicated_name(agent: str) -> str:
    """The name of the Deployment and Service of a Dedicated agent."""
    return f"agent-{agent}"
