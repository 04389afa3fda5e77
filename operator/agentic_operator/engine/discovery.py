"""Which APIs a cluster serves that not every cluster has, such as metrics; observations read it, the engine updates."""

from collections.abc import Iterable

from agentic_core.cluster import Cluster


class OptionalApis:
    """The optional APIs of one cluster, as of the last check."""

    def __init__(self, cluster: Cluster, apis: Iterable[str]) -> None:
        self._cluster = cluster
        self._served = dict.fromkeys(apis, False)

    def serves(self, api: str) -> bool:
        """Whether the cluster served this API, given as group/version, at the last check."""
        return self._served[api]

    async def check(self) -> set[str]:
        """Check all of them; returns those that came or went. Raises ClusterError when the API server fails."""
        found = {api: await self._cluster.serves(api) for api in self._served}
        changed = {api for api, served in found.items() if served != self._served[api]}
        self._served = found
        return changed
