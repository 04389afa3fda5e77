"""Tenants, providers and their Secrets as the API server has them: two watches, and a `get` of single Secrets.

`compose` runs it. It parses each resource once when it changes, so that a request only looks into dicts.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from agentic_core import telemetry
from agentic_core.cluster import Cluster, Object, WatchCache
from agentic_core.cluster.kinds import SECRET, custom
from agentic_core.errors import NotFound
from agentic_crds.model_provider import ModelProvider, ModelProviderSpec
from agentic_crds.tenant import Tenant

LOG = telemetry.logger(__name__)

Change = Literal["ADDED", "MODIFIED", "DELETED"]


class Resources(Protocol):
    """What the gateway reads of custom resources and Secrets."""

    @property
    def synced(self) -> bool:
        """Whether everything that existed at the start is known."""
        ...

    def allowed_models(self, tenant: str, uid: str) -> Sequence[str] | None:
        """The patterns of the models that a tenant may call; None when there is no Tenant of this name and uid."""
        ...

    def providers(self, namespace: str) -> Mapping[str, ModelProviderSpec]:
        """The providers of a namespace by name."""
        ...

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """The Secret as Kubernetes spells it."""
        ...


class Known:
    """Tenants and providers, parsed."""

    def __init__(self) -> None:
        self._allowed: dict[str, tuple[str, Sequence[str]]] = {}
        """For each Tenant its uid and what it may call: the next Tenant of the same name is another."""
        self._providers: dict[str, dict[str, ModelProviderSpec]] = {}

    def allowed_models(self, tenant: str, uid: str) -> Sequence[str] | None:
        """The patterns of the models that a tenant may call; None when there is no Tenant of this name and uid."""
        known, allowed = self._allowed.get(tenant, ("", None))
        return allowed if known == uid else None

    def providers(self, namespace: str) -> Mapping[str, ModelProviderSpec]:
        """The providers of a namespace by name."""
        return self._providers.get(namespace, {})

    def note_tenant(self, change: Change, obj: Object) -> None:
        """A Tenant changed. One that cannot be read may call nothing."""
        name = obj["metadata"]["name"]
        self._allowed.pop(name, None)
        if change != "DELETED":
            try:
                self._allowed[name] = obj["metadata"]["uid"], Tenant.model_validate(obj).spec.ai.models.allowed
            except ValidationError as error:
                LOG.warning("a Tenant cannot be read", tenant=name, errors=error.error_count())

    def note_provider(self, change: Change, obj: Object) -> None:
        """A ModelProvider changed. One that cannot be read is as good as none."""
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        providers = self._providers.setdefault(namespace, {})
        providers.pop(name, None)
        if change != "DELETED":
            try:
                providers[name] = ModelProvider.model_validate(obj).spec
            except ValidationError as error:
                LOG.warning(
                    "a ModelProvider cannot be read", provider=f"{namespace}/{name}", errors=error.error_count()
                )
        if not providers:
            del self._providers[namespace]


class ClusterResources(Known):
    """Kept up to date from an API server."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster
        self._caches = (
            WatchCache(cluster, custom(Tenant), on_event=self.note_tenant),
            WatchCache(cluster, custom(ModelProvider), on_event=self.note_provider),
        )

    @property
    def synced(self) -> bool:
        """Whether everything that existed at the start is known."""
        return all(cache.synced.is_set() for cache in self._caches)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Keeps the resources up to date inside the block."""
        tasks = [asyncio.create_task(cache.run()) for cache in self._caches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """The Secret as Kubernetes spells it."""
        found = await self._cluster.get(SECRET.ref(name, namespace))
        if found is None:
            raise NotFound("it does not exist.")
        return found
