"""What the catalog knows of an agent that can run; the runs take it as input."""

from dataclasses import dataclass

from agentic_crds.agent_revision import Definition


@dataclass(frozen=True)
class ResolvedAgent:
    """An agent with the revision that new runs use and where it runs."""

    namespace: str
    agent: str
    """Name of the Agent, without the namespace."""
    revision: str
    """Name of the AgentRevision."""
    definition: Definition
    """The revision's definition, parsed once and shared by all runs of it."""
    endpoint: str
    """Base URL of the runtime inside the cluster, without a slash at the end."""
