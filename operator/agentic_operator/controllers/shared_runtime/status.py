"""A Namespace's status belongs to Kubernetes; the agents tell how their runtime is."""

from agentic_operator.engine.controller import Assessment


def assess() -> Assessment:
    """Nothing to say."""
    return Assessment(status=None)
