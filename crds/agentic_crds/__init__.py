"""Pydantic models of the custom resources `agentic.io/v1alpha1`; every program of the platform uses them."""

from agentic_crds.agent import Agent, AgentSpec, AgentStatus
from agentic_crds.agent_revision import AgentRevision, AgentRevisionSpec
from agentic_crds.base import GROUP, VERSION, Resource
from agentic_crds.model_provider import ModelProvider, ModelProviderSpec, ModelProviderStatus
from agentic_crds.tenant import Tenant, TenantSpec, TenantStatus

KINDS: tuple[type[Resource], ...] = (Tenant, ModelProvider, Agent, AgentRevision)
"""Every kind of the platform, in the order in which its CRD is generated."""

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "Agent",
    "AgentRevision",
    "AgentRevisionSpec",
    "AgentSpec",
    "AgentStatus",
    "ModelProvider",
    "ModelProviderSpec",
    "ModelProviderStatus",
    "Resource",
    "Tenant",
    "TenantSpec",
    "TenantStatus",
]
