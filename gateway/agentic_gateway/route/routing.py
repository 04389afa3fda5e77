"""From the model of a request to the backends that may respond to it. Pure; the flow calls it once per request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentic_core.auth.run_tokens import RunClaims
from agentic_core.resolve import model_allowed
from agentic_crds.model_provider import ModelProviderSpec, ProviderModel
from agentic_gateway.problems import ModelNotAllowed, ModelNotFound, TenantGone, WrongWire
from agentic_gateway.wires.base import Operation


class ModelCatalog(Protocol):
    """What is defined by custom resources about tenants and providers."""

    def allowed_models(self, tenant: str, uid: str) -> Sequence[str] | None:
        """The patterns of the models that a tenant may call; None when there is no Tenant of this name and uid."""
        ...

    def providers(self, namespace: str) -> Mapping[str, ModelProviderSpec]:
        """The providers of a namespace by name."""
        ...


@dataclass(frozen=True)
class Backend:
    """A model at a provider."""

    tenant_id: str
    """Uid of the Tenant: the next one of its name, with namespaces of the same names, is another."""
    namespace: str
    provider_name: str
    provider: ModelProviderSpec
    model: ProviderModel

    @property
    def key(self) -> tuple[str, str, str]:
        """Which provider this is: what circuits are kept by."""
        return self.tenant_id, self.namespace, self.provider_name

    @property
    def ref(self) -> str:
        """The model as callers name it."""
        return f"{self.provider_name}/{self.model.name}"


def backends(requested: str, claims: RunClaims, operation: Operation, catalog: ModelCatalog) -> list[Backend]:
    """The backend of the requested model, then those of the fallbacks that follow it in the token.

    Raises when the requested one may not or cannot be called; a fallback that may not be called is left out.
    """
    first = backend(requested, claims, operation, catalog)
    if not operation.falls_back:
        return [first]
    later = claims.models[claims.models.index(requested) + 1 :]
    found = [first]
    for ref in later:
        try:
            found.append(backend(ref, claims, operation, catalog))
        except (ModelNotAllowed, ModelNotFound, WrongWire):
            continue
    return found


def backend(ref: str, claims: RunClaims, operation: Operation, catalog: ModelCatalog) -> Backend:
    """The backend of one model, if the run may call it with this operation."""
    allowed = _allowed(claims, catalog)
    if ref not in claims.models:
        raise ModelNotAllowed(f"This run may not call {ref!r}; it may call {', '.join(claims.models) or 'no model'}.")
    if not model_allowed(allowed, ref):
        raise ModelNotAllowed(f"The tenant {claims.tenant} may not call {ref!r}: spec.ai.models.allowed excludes it.")
    found = _offered(ref, claims, catalog)
    if found.provider.type not in operation.types:
        raise WrongWire(f"{ref!r} is of type {found.provider.type}, which is not called through {operation.path}.")
    return found


def offered(claims: RunClaims, catalog: ModelCatalog) -> list[Backend]:
    """All models that the run may call now."""
    allowed = _allowed(claims, catalog)
    found: list[Backend] = []
    for ref in claims.models:
        if model_allowed(allowed, ref):
            try:
                found.append(_offered(ref, claims, catalog))
            except ModelNotFound:
                continue
    return found


def _allowed(claims: RunClaims, catalog: ModelCatalog) -> Sequence[str]:
    allowed = catalog.allowed_models(claims.tenant, claims.tenant_id)
    if allowed is None:
        raise TenantGone(f"The Tenant {claims.tenant} of this run does not exist any more, or cannot be read.")
    return allowed


def _offered(ref: str, claims: RunClaims, catalog: ModelCatalog) -> Backend:
    name, _, model_name = ref.partition("/")
    provider = catalog.providers(claims.namespace).get(name)
    model = provider.model(model_name) if provider else None
    if provider is None or model is None:
        raise ModelNotFound(f"ModelProvider {claims.namespace}/{name} does not exist or does not list {model_name!r}.")
    return Backend(claims.tenant_id, claims.namespace, name, provider, model)
