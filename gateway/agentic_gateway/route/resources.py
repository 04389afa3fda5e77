"""Tenants, providers and their Secrets as the API server has them: watches, and a `get` of single Secrets.

`main` watches with it. It parses each resource once when it changes, so that a request only looks into dicts.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from pydantic import ValidationError

from agentic_core import telemetry
from agentic_core.cluster import Cluster, Object, Ref, Watches
from agentic_core.cluster.kinds import SECRET
from agentic_core.cluster.watches import stores
from agentic_core.errors import NotFound
from agentic_crds.model_provider import ModelProvider, ModelProviderSpec
from agentic_crds.tenant import Tenant

LOG = telemetry.logger(__name__)


class GatewayResources(Protocol):
    """What the gateway reads of custom resources and Secrets."""

    @property
    def synced(self) -> bool:
        """Whether everything that existed at the start has been read."""
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


class ParsedResources:
    """Tenants and providers, parsed."""

    def __init__(self) -> None:
        self._allowed: dict[str, tuple[str, Sequence[str]]] = {}
        """For each Tenant its uid and what it may call: the next Tenant of the same name is another."""
        self._providers: dict[str, dict[str, ModelProviderSpec]] = {}

    def allowed_models(self, tenant: str, uid: str) -> Sequence[str] | None:
        """The patterns of the models that a tenant may call; None when there is no Tenant of this name and uid."""
        found, allowed = self._allowed.get(tenant, ("", None))
        return allowed if found == uid else None

    def providers(self, namespace: str) -> Mapping[str, ModelProviderSpec]:
        """The providers of a namespace by name."""
        return self._providers.get(namespace, {})

    def note_tenant(self, ref: Ref, tenant: Object | None) -> None:
        """A Tenant changed, or was deleted. One that cannot be read, or is being deleted, may call nothing."""
        self._allowed.pop(ref.name, None)
        if tenant is not None and not tenant["metadata"].get("deletionTimestamp"):
            try:
                allowed = Tenant.model_validate(tenant).spec.ai.models.allowed
                self._allowed[ref.name] = tenant["metadata"]["uid"], allowed
            except ValidationError as error:
                LOG.warning("tenant not readable", tenant=ref.name, errors=error.error_count())

    def note_provider(self, ref: Ref, provider: Object | None) -> None:
        """A ModelProvider changed, or was deleted. One that cannot be read is treated as absent."""
        namespace = ref.namespace or ""
        providers = self._providers.setdefault(namespace, {})
        providers.pop(ref.name, None)
        if provider is not None:
            try:
                providers[ref.name] = ModelProvider.model_validate(provider).spec
            except ValidationError as error:
                LOG.warning("provider not readable", provider=f"{namespace}/{ref.name}", errors=error.error_count())
        if not providers:
            del self._providers[namespace]


class ClusterResources(ParsedResources):
    """Kept up to date from an API server."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster
        self.stores = stores(lambda kind: kind.gateway, {Tenant: self.note_tenant, ModelProvider: self.note_provider})
        self._watches = Watches(cluster, self.stores.values())

    @property
    def synced(self) -> bool:
        """Whether everything that existed at the start is here, and is being kept up to date."""
        return self._watches.synced

    def watching(self) -> AbstractAsyncContextManager[None]:
        """Keeps the resources up to date inside the block."""
        return self._watches.running()

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        """The Secret as Kubernetes spells it."""
        found = await self._cluster.get(SECRET.ref(name, namespace))
        if found is None:
            raise NotFound("it does not exist.")
        return found
