"""Pydantic models of the custom resources `agentic.io/v1alpha1`; every program of the platform uses them."""

from agentic_crds.agent import Agent, AgentSpec, AgentStatus
from agentic_crds.agent_revision import AgentRevision, AgentRevisionSpec
from agentic_crds.base import GROUP, VERSION, Resource
from agentic_crds.model_provider import ModelProvider, ModelProviderSpec, ModelProviderStatus
from agentic_crds.prompt_version import PromptVersion, PromptVersionSpec
from agentic_crds.registry import KINDS, Access, KindEntry, Writer
from agentic_crds.tenant import Tenant, TenantSpec, TenantStatus

KINDS.register(KindEntry(model=Tenant, writer=Writer.PLATFORM, api=Access.PATCH, gateway=Access.READ))
KINDS.register(KindEntry(model=ModelProvider, writer=Writer.TENANT, api=Access.READ, gateway=Access.READ))
KINDS.register(KindEntry(model=Agent, writer=Writer.TENANT, api=Access.WRITE))
KINDS.register(KindEntry(model=AgentRevision, writer=Writer.OPERATOR, api=Access.GET, metadata_only=True))
KINDS.register(KindEntry(model=PromptVersion, writer=Writer.OPERATOR, api=Access.GET, metadata_only=True))

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "Access",
    "Agent",
    "AgentRevision",
    "AgentRevisionSpec",
    "AgentSpec",
    "AgentStatus",
    "KindEntry",
    "ModelProvider",
    "ModelProviderSpec",
    "ModelProviderStatus",
    "PromptVersion",
    "PromptVersionSpec",
    "Resource",
    "Tenant",
    "TenantSpec",
    "TenantStatus",
    "Writer",
]
