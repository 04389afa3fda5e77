"""The ConfigMaps that agents' prompts are in: each version is got once, however many agents refer to it.

The Agent controller's `observe` calls it.
"""

import sys
from collections.abc import Mapping

from cachetools import LRUCache

from agentic_core.cluster import Cluster
from agentic_core.cluster.kinds import Ref
from agentic_core.single_flight import SingleFlight

MAX_BYTES = 16 * 1024 * 1024
"""Memory of ConfigMaps that agents refer to."""

Data = Mapping[str, str]


class PromptSources:
    """Data of ConfigMaps, bounded by bytes. Only their metadata is watched: other people's ConfigMaps are many."""

    def __init__(self) -> None:
        self._data: SingleFlight[tuple[Ref, int], Data | None] = SingleFlight(LRUCache(MAX_BYTES, getsizeof=_size))

    async def get(self, ref: Ref, version: int, cluster: Cluster) -> Data | None:
        """What the ConfigMap has at this resource version, or at a newer one; None when it does not exist."""
        return await self._data.get((ref, version), lambda: _load(ref, cluster))


async def _load(ref: Ref, cluster: Cluster) -> Data | None:
    found = await cluster.get(ref)
    return None if found is None else dict(found.get("data") or {})


def _size(data: Data | None) -> int:
    return 1 + sum(sys.getsizeof(key) + sys.getsizeof(text) for key, text in (data or {}).items())
