"""All access to an API server: a thin client, watches that survive, and stores for programs that only read.

The operator writes through it; the api and the gateway keep their stores up to date by it.
"""

from agentic_core.cluster.client import Cluster
from agentic_core.cluster.credentials import Credentials
from agentic_core.cluster.kinds import Kind, Object, Ref
from agentic_core.cluster.recorder import Recorder
from agentic_core.cluster.store import Store
from agentic_core.cluster.transport import Options
from agentic_core.cluster.watch import Reflector
from agentic_core.cluster.watches import Watches

__all__ = [
    "Cluster",
    "Credentials",
    "Kind",
    "Object",
    "Options",
    "Recorder",
    "Ref",
    "Reflector",
    "Store",
    "Watches",
]
